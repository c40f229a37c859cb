import { z } from 'zod';

/** `/admin/v1`: for whoever runs the server, not for clients of the API. */

export const backupBody = z.strictObject({
  /** A directory of the server's machine, which is not there yet. */
  to: z.string().min(1),
});

export const backupAnswer = z.strictObject({
  object: z.literal('backup'),
  to: z.string(),
  /** Of the database. */
  bytes: z.int(),
});
export type BackupMade = z.infer<typeof backupAnswer>;
