import { z } from 'zod';

/** What requests say in headers of their own. */

/** `POST /v1/responses`. Two headers of that name come joined by a comma and a space, and so are none. */
export const createHeaders = z.object({
  'Idempotency-Key': z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/)
    .describe('1 to 255 visible ASCII characters; with `background: true` only')
    .optional(),
});
