import { backupAnswer, backupBody } from '../protocol/admin.ts';
import type { Operation } from './api.ts';

/**
 * What is served with the admin key, as a table like that of `api.ts`. It is no part of `/openapi.json`: that document
 * is for clients of the API, and none of them has this key.
 */
export const ADMIN_OPERATIONS: readonly Operation[] = [
  {
    method: 'post',
    path: '/admin/v1/backup',
    id: 'makeBackup',
    summary: 'Copy the data directory while serving; answers when the copy is complete and durable',
    body: backupBody,
    answer: backupAnswer,
    errors: [409],
  },
];
