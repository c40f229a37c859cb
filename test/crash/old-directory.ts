import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Database } from '../../server/src/stores/sqlite/database.ts';
import { SCHEMA_VERSION, migrate } from '../../server/src/stores/sqlite/schema.ts';
import { streamText } from '../support/sse.ts';
import { call, checkGone, post, request, streamUrl, urlOf } from './clients.ts';
import { Machine } from './machine.ts';

/**
 * A data directory as an older Holt left it, with work for the housekeeping in it: logs to compact, responses and logs
 * whose time is over, tombstones to purge.
 */

/** An ended response of an older Holt. `kept`: the whole; `no log`: its log is past its time; `gone`: all of it. */
export type Old = { id: string; kind: 'kept' | 'no log' | 'gone'; stream: string; snapshot: string };

const KINDS = ['kept', 'kept', 'no log', 'no log', 'gone', 'gone', 'gone'] as const;

/** Columns of the first schema. What later ones have added is what an upgrade has to make up. */
const RESPONSE = `no, id, project_id, status, worker_id, epoch, attempt, model, provider, background, stream, request,
  snapshot, created_at, started_at, done_at, expires_at, log_expires_at, log_state, cancel_requested_at, deleted_at`;
const CHUNK = 'response_no, n, first_sequence, count, epoch, closed, body';

/** Responses as they come from a server of today, to be put into directories of older schemas. */
export class OldResponses {
  readonly all: readonly Old[];
  readonly #from: string;

  private constructor(all: Old[], from: string) {
    this.all = all;
    this.#from = from;
  }

  static async make(signal: AbortSignal, directory: string): Promise<OldResponses> {
    await using machine = await Machine.start(signal);
    const made = await Promise.all(
      KINDS.map(async (kind, index): Promise<Old> => {
        const scripted = { tokens: 5 + index * 20, first_token_ms: 0, interval_ms: 1, reasoning_tokens: index };
        const stream = await streamText(`${machine.url}/v1/responses`, post(request(scripted, { stream: true })));
        const id = /"id":"(resp_\w+)"/.exec(stream)?.[1] ?? '';
        return { id, kind, stream, snapshot: (await call(urlOf(machine.url, id))).body };
      }),
    );
    assert.equal(await machine.terminate(), 0);
    const from = join(directory, 'now.db');
    const now = new Database(join(machine.data, 'holt.db'));
    now.execute(`vacuum into '${from}'`);
    now.close();
    return new OldResponses(made, from);
  }

  /** @param schema from 1, the first */
  async into(data: string, schema: number): Promise<void> {
    assert.ok(schema >= 1 && schema <= SCHEMA_VERSION);
    await mkdir(data, { recursive: true });
    const old = new Database(join(data, 'holt.db'));
    migrate(old, schema);
    old.execute(`attach '${this.#from}' as now;
      begin immediate;
      insert into response (${RESPONSE}) select ${RESPONSE} from now.response;
      insert into chunk (${CHUNK}) select ${CHUNK} from now.chunk;
      commit; detach now`);
    // A long torture outlives the time for which a log is kept.
    old.run('update response set log_expires_at = log_expires_at + 86400000');
    for (const { id, kind } of this.all) {
      if (kind === 'no log') old.run('update response set log_expires_at = 1 where id = ?', id);
      if (kind === 'gone') old.run('update response set expires_at = 1 where id = ?', id);
    }
    // One of those was deleted long ago.
    const buried = this.all.find(({ kind }) => kind === 'gone')?.id ?? '';
    old.run("update response set request = x'', snapshot = null, log_state = 3, deleted_at = 1 where id = ?", buried);
    old.run("update chunk set body = x'' where response_no = (select no from response where id = ?)", buried);
    old.close();
  }

  /** What was kept is the same to the byte, what is over is gone. */
  async check(url: string): Promise<void> {
    for (const { id, kind, stream, snapshot } of this.all) {
      if (kind === 'gone') {
        await checkGone(url, id);
        continue;
      }
      assert.equal((await call(urlOf(url, id))).body, snapshot);
      if (kind === 'kept') assert.equal(await streamText(streamUrl(url, id)), stream);
      else assert.equal((await call(streamUrl(url, id))).status, 400, `the log of ${id} is past its time`);
    }
  }
}
