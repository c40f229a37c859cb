import { randomBytes } from 'node:crypto';
import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Secrets that a data directory makes for itself: 64 hex digits in a file that only its owner may read. */

const BYTES = 32;
export const OWN_SECRET = /^[0-9a-f]{64}$/;

/**
 * Made at its first use, and durable before it is returned. Throws when the file holds anything else: one that was cut
 * short would be none.
 * @param name of the file
 * @param loss what is lost when the file is removed, after the words "or remove it and"
 */
export async function ownSecret(data: string, name: string, loss: string): Promise<string> {
  const file = join(data, name);
  const secret = (await readIfThere(file)) ?? (await makeSecret(data, file));
  if (!OWN_SECRET.test(secret))
    throw new Error(`${file} is damaged: put it back from a backup, or remove it and ${loss}`);
  return secret;
}

/** Undefined when there is no such file. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Under its name only when it is whole; the directory belongs to this process alone. */
async function makeSecret(data: string, file: string): Promise<string> {
  const secret = randomBytes(BYTES).toString('hex');
  const draft = `${file}.new`;
  await writeFile(draft, secret, { mode: 0o600, flush: true });
  await rename(draft, file);
  await syncDirectory(data);
  return secret;
}

/** Makes what was renamed into a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
