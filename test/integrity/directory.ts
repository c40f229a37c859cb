import { createHash } from 'node:crypto';
import { cp, readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { LOCAL, runToEnd, subscribe } from '../contract/webhook-endpoint.ts';
import { SILENT, call, create, otter, remove } from '../contract/wire.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import { Receiver } from '../support/webhook-receiver.ts';

/** Data directories with something of everything, and what breaks them. */

export type Filled = {
  data: string;
  /** Streamed in the background, completed, in the conversation, created with an idempotency key. */
  completed: string;
  deleted: string;
  /** Stored, and without a log. */
  foreground: string;
  unfinished: string;
  conversation: string;
};

/** Made by a server that has been stopped. */
export async function fillDirectory(): Promise<Filled> {
  await using receiver = await Receiver.start();
  const data = await temporaryDirectory();
  await using holt = await startHolt({ ...LOCAL, data });
  await subscribe(holt, receiver.url());
  const { id: conversation } = await holt.client.conversations.create({ metadata: { of: 'a test' } });
  const stream = { stream: true, background: true };
  const text = (
    await call('POST', `${holt.url}/v1/responses`, jsonOf(otter({ tokens: 40 }, { conversation, ...stream })))
  ).text;
  const completed = /"id":"(resp_[0-9a-f]+)"/.exec(text)?.[1] ?? '';
  await runToEnd(holt, otter({ fail_after: 5 }));
  await runToEnd(holt, otter({ reasoning_tokens: 5 }, { previous_response_id: completed }));
  const { id: foreground } = await create(holt, otter());
  const { id: deleted } = await runToEnd(holt, otter());
  await remove(holt, deleted);
  const { id: unfinished } = await create(holt, otter(SILENT, { background: true }));
  await holt.stop();
  return { data, completed, deleted, foreground, unfinished, conversation };
}

function jsonOf(body: object): RequestInit {
  return { headers: { 'content-type': 'application/json', 'idempotency-key': 'a-key' }, body: JSON.stringify(body) };
}

export async function copyOf(data: string): Promise<string> {
  const copy = await temporaryDirectory();
  await cp(data, copy, { recursive: true, mode: 0 });
  return copy;
}

/** What somebody might do to a database behind the back of Holt. */
export function tamper(data: string, ...statements: string[]): void {
  const db = new DatabaseSync(join(data, 'holt.db'));
  try {
    for (const sql of statements) db.exec(sql);
  } finally {
    db.close();
  }
}

/** Of every file at any depth, to see that nothing was touched. */
export async function hashes(data: string): Promise<Record<string, string>> {
  const found = await readdir(data, { recursive: true, withFileTypes: true });
  const files = found.filter((entry) => entry.isFile());
  const names = files.map(({ parentPath, name }) => relative(data, join(parentPath, name))).toSorted();
  const entries = names.map(async (name) => {
    const bytes = await readFile(join(data, name));
    return [name, createHash('sha256').update(bytes).digest('hex')] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
