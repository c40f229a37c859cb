import { messageIn } from '../admin-command.ts';
import { readAdminKey } from '../admin-key.ts';
import { askAdmin } from '../ask-admin.ts';
import { backupConfig } from '../command-config.ts';
import { withProcess } from '../config.ts';

/** `holt backup`: asks the running server for a backup, and says when it is complete. */
export async function backup(): Promise<number> {
  const { to, url, data, adminKey } = withProcess(backupConfig);
  const key = adminKey ?? (await readAdminKey(data));
  const leave = new AbortController();
  // The server gives it up when nobody waits for it.
  process.once('SIGINT', () => {
    leave.abort();
  });
  const question = { method: 'POST', url: new URL('/admin/v1/backup', url), key, body: { to } } as const;
  const { status, body } = await askAdmin({ ...question, signal: leave.signal }).catch((error: unknown) => {
    throw new Error(`no backup from ${url}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  });
  if (status !== 200) throw new Error(messageIn(body) ?? `${url} answered ${status}`);
  console.log(`A backup is in ${to}. Check it with: holt doctor --data ${to}`);
  return 0;
}
