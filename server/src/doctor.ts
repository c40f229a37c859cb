import { lstat, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OWN_SECRET, readIfThere } from './own-secret.ts';
import { hasCompanions, isDamage, whatIsLost } from './stores/sqlite/damage.ts';
import { DatabaseLocked } from './stores/sqlite/database.ts';
import type { Finding } from './stores/sqlite/finding.ts';
import { inspectDatabase } from './stores/sqlite/inspect.ts';
import type { Inspection } from './stores/sqlite/inspect.ts';
import { NewerSchema } from './stores/sqlite/schema.ts';

/** Whether a data directory is sound. Changes nothing, and says nothing of what responses hold. */

export type Diagnosis = {
  /** What there is. */
  summary: string;
  /** What is broken, a line each, with what to do. */
  findings: string[];
  /** What works and should not be so. */
  warnings: string[];
};

/** There is nothing to judge, or no way to. */
export class CannotCheck extends Error {}

const RESTORE = 'restore a backup';

/**
 * Throws CannotCheck.
 * @param secretFiles files elsewhere that hold secrets
 */
export async function diagnose(data: string, secretFiles: readonly string[] = []): Promise<Diagnosis> {
  const directory = await stat(data).catch(() => undefined);
  if (directory?.isDirectory() !== true) throw new CannotCheck(`${data} is no directory`);
  const diagnosis: Diagnosis = { summary: `${data}:`, findings: [], warnings: [] };
  await checkDatabase(data, diagnosis);
  await checkSecret(data, 'secret', 'lose what was sealed with it', diagnosis);
  await checkSecret(data, 'admin.key', 'get a new one at the next start', diagnosis);
  if ((directory.mode & 0o077) !== 0) {
    diagnosis.warnings.push(`others on this machine can look into ${data}: chmod 700 it`);
  }
  for (const file of secretFiles) {
    const entry = await stat(file).catch(() => undefined);
    if (entry !== undefined && (entry.mode & 0o077) !== 0) diagnosis.warnings.push(readable(file));
  }
  return diagnosis;
}

async function checkDatabase(data: string, diagnosis: Diagnosis): Promise<void> {
  const file = join(data, 'holt.db');
  const lost = await whatIsLost(data);
  if (lost !== undefined) {
    diagnosis.summary += ' no database';
    diagnosis.findings.push(`${file} ${lost}: ${RESTORE}`);
    return;
  }
  const size = await stat(file).catch(() => undefined);
  if (size === undefined || size.size === 0)
    throw new CannotCheck(`${data} has no database: no server was started on it`);
  const inspection = inspect(file);
  if (typeof inspection === 'string') {
    diagnosis.summary += ' a database that can not be opened';
    diagnosis.findings.push(`${file}: ${inspection}: ${RESTORE}`);
    return;
  }
  if (inspection.schema === 0 && inspection.findings.length === 0 && (await hasCompanions(data))) {
    inspection.findings.push({ problem: 'it has lost its tables' });
  }
  diagnosis.summary += ` ${summarize(inspection)}`;
  diagnosis.findings.push(...inspection.findings.map((finding) => describe(file, finding)));
  if (inspection.more > 0) diagnosis.findings.push(`${inspection.more} more like these: ${RESTORE}`);
}

/** What SQLite says of a file that it can't make anything of, or what is there. */
function inspect(file: string): Inspection | string {
  try {
    return inspectDatabase(file);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    if (isDamage(error)) return words;
    if (error instanceof DatabaseLocked) {
      throw new CannotCheck(`${file} is in use: stop its server first, or check a backup of it`, { cause: error });
    }
    if (error instanceof NewerSchema) throw new CannotCheck(`${file}: ${words}`, { cause: error });
    throw new CannotCheck(`${file} can't be opened for reading: ${words}`, { cause: error });
  }
}

function summarize({ schema, newest, counts }: Inspection): string {
  const age = schema < newest ? `, which a start brings to ${newest}` : '';
  return [`schema ${schema}${age}`, ...counts.map(([name, count]) => `${count} ${name}`)].join(', ');
}

function describe(file: string, { id, problem, deletable = false }: Finding): string {
  return `${id ?? file}: ${problem}: ${deletable ? `delete it, or ${RESTORE}` : RESTORE}`;
}

async function checkSecret(data: string, name: string, loss: string, diagnosis: Diagnosis): Promise<void> {
  const file = join(data, name);
  const entry = await lstat(file).catch(() => undefined);
  // Without one the environment has it, or the next start makes it.
  if (entry === undefined) return;
  const secret = entry.isFile() ? await readIfThere(file) : undefined;
  if (secret === undefined || !OWN_SECRET.test(secret)) {
    diagnosis.findings.push(`${file} is damaged: put it back from a backup, or remove it and ${loss}`);
  }
  if ((entry.mode & 0o077) !== 0) diagnosis.warnings.push(readable(file));
}

function readable(file: string): string {
  return `others on this machine can read ${file}: chmod 600 it`;
}
