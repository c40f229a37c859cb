import type { FastifyInstance } from 'fastify';
import { backupBody } from '../../protocol/admin.ts';
import type { AppDeps } from '../deps.ts';
import { parseObject } from '../parse-body.ts';
import { clientSignal } from '../request.ts';

/** `/admin/v1`, behind the admin key. */
export function adminRoutes(app: FastifyInstance, { admin }: Pick<AppDeps, 'admin'>): void {
  app.post('/admin/v1/backup', async ({ body = {} }, reply) =>
    admin.backup(parseObject(backupBody, body).body.to, clientSignal(reply)),
  );
}
