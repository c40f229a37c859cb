import { join } from 'node:path';
import { OWN_SECRET, ownSecret, readIfThere } from './own-secret.ts';

/** What `/admin/v1` asks for: `HOLT_ADMIN_KEY`, or the key that a data directory made for itself. */

const FILE = 'admin.key';

export function adminKeyOf(data: string): Promise<string> {
  return ownSecret(data, FILE, 'get a new one at the next start');
}

/** For a command that talks to the server of this directory. Throws in words for whoever typed it. */
export async function readAdminKey(data: string): Promise<string> {
  const file = join(data, FILE);
  const key = await readIfThere(file);
  if (key === undefined) {
    throw new Error(
      `no admin key: set HOLT_ADMIN_KEY, or name the data directory of the server with --data (no ${file})`,
    );
  }
  if (!OWN_SECRET.test(key)) throw new Error(`${file} is damaged: the server says at its next start what to do`);
  return key;
}
