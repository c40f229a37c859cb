import { copyFile, mkdir, open, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import { apiError } from './domain/errors.ts';
import type { Log } from './domain/ports.ts';
import { syncDirectory } from './own-secret.ts';
import type { BackupMade } from './protocol/admin.ts';

/**
 * A backup: the database and the secret that its sealed content needs, in a new directory that a server can be started
 * on. Not the admin key, nor any key that is there to be forgotten. It has its name only when it is whole and durable.
 */

type Deps = {
  data: string;
  /** Copies the database into a file that is there and empty. */
  copy(file: string, signal: AbortSignal): Promise<void>;
  /** Writes down that it was asked for, before it is begun: so the copy says so, too. */
  record(to: string): Promise<void>;
  log: Log;
};

/** One at a time. `signal` of `stop` ends the one that is under way. */
export function makeBackups(deps: Deps): (to: string, signal: AbortSignal) => Promise<BackupMade> {
  let running = false;
  return async (to, signal) => {
    if (running) throw apiError('backup_running');
    running = true;
    try {
      const place = await placeFor(to, deps.data);
      await deps.record(place);
      return await write(deps, place, signal);
    } finally {
      running = false;
    }
  };
}

async function write(deps: Deps, to: string, signal: AbortSignal): Promise<BackupMade> {
  const draft = join(dirname(to), `.${basename(to)}.holt-partial`);
  try {
    await removeLeftOver(draft);
    await mkdir(draft, { mode: 0o700 });
    const file = join(draft, 'holt.db');
    // SQLite would let others read it.
    await (await open(file, 'wx', 0o600)).close();
    await deps.copy(file, signal);
    await copySecret(deps.data, draft);
    await syncDirectory(draft);
    const { size } = await stat(file);
    await rename(draft, to);
    await syncDirectory(dirname(to));
    deps.log.info({ bytes: size }, 'made a backup');
    return { object: 'backup', to, bytes: size };
  } catch (error) {
    deps.log.error({ err: error }, 'a backup could not be made');
    await removeLeftOver(draft).catch((left: unknown) => {
      deps.log.error({ err: left }, 'what there is of a backup could not be removed');
    });
    throw apiError('backup_failed', { reason: error instanceof Error ? error.message : String(error), cause: error });
  }
}

const CONTENTS = ['holt.db', 'holt.db-journal', 'secret'];

/** What a backup has left that was killed with its server; somebody else's directory of that name stays. */
async function removeLeftOver(draft: string): Promise<void> {
  for (const name of CONTENTS) await rm(join(draft, name), { force: true });
  await rmdir(draft).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

async function copySecret(data: string, draft: string): Promise<void> {
  const copy = join(draft, 'secret');
  try {
    await copyFile(join(data, 'secret'), copy);
  } catch (error) {
    // HOLT_SECRET seals then.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  const file = await open(copy, 'r+');
  try {
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The directory `to` with its links resolved. Throws when it is no place for a backup. */
async function placeFor(to: string, data: string): Promise<string> {
  const refuse = (reason: string): never => {
    throw apiError('invalid_value', { param: 'to', reason });
  };
  if (!isAbsolute(to)) return refuse('must be an absolute path of the machine of the server');
  const parent = await realpath(dirname(to)).catch(() => undefined);
  if (parent === undefined) return refuse('must be in a directory that is there');
  const place = join(parent, basename(to));
  if (isWithin(await realpath(data), place)) return refuse('must be outside the data directory');
  const entries = await readdir(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    return refuse('is there already, and is no directory that can be read');
  });
  if (entries.length > 0) return refuse('is there already, and not empty');
  return place;
}

function isWithin(directory: string, place: string): boolean {
  const path = relative(directory, place);
  return path === '' || (path !== '..' && !path.startsWith('../') && !isAbsolute(path));
}
