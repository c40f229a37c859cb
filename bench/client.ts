import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './response-stream.ts';
import type { ResponseStream } from './response-stream.ts';
import { answer } from './rpc.ts';

/** The load: opens streams, counts and checks what they bring, takes the times. One for all servers. */

type Load = { connections: Connection[]; streams: ResponseStream[] };

/** Requests under way at once while a load is set up. */
const AT_ONCE = 32;
const loads = new Map<string, Load>();
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

/** Opens `streams` streams, each on its own connection. Answers when each has had its first event. */
async function open(args: { name: string; url: string; body: object; streams: number }): Promise<void> {
  const load: Load = { connections: [], streams: [] };
  loads.set(args.name, load);
  await inParallel(args.streams, async () => {
    const connection = await Connection.open(args.url);
    const stream = connection.post(args.body);
    load.connections.push(connection);
    load.streams.push(stream);
    await stream.begun;
  });
}

/** Deltas so far. */
function count({ name }: { name: string }): number {
  return loads.get(name)?.streams.reduce((sum, { deltas }) => sum + deltas, 0) ?? 0;
}

/** Answers when all streams have ended. Rejects when one was not complete or had not `deltas` deltas. */
async function finish({ name, deltas }: { name: string; deltas: number }): Promise<void> {
  const load = loads.get(name);
  loads.delete(name);
  for (const stream of load?.streams ?? []) {
    await stream.ended;
    if (stream.deltas !== deltas) throw new Error(`expected ${deltas} deltas, got ${stream.deltas}`);
  }
  for (const connection of load?.connections ?? []) connection.close();
}

/** One request at a time, the bodies in turn, each on a connection of its own that is kept alive. -> ms, by body */
async function firstTokens(args: {
  url: string;
  bodies: object[];
  times: number;
  deltas: number;
}): Promise<number[][]> {
  const lanes = await Promise.all(
    args.bodies.map(async (body) => ({ body, connection: await Connection.open(args.url), taken: [] as number[] })),
  );
  for (let time = 0; time < args.times; time += 1) {
    // Neither always goes first.
    for (const lane of time % 2 === 0 ? lanes : lanes.toReversed()) {
      const start = performance.now();
      const stream = lane.connection.post(lane.body);
      await stream.ended;
      if (stream.deltas !== args.deltas) throw new Error(`expected ${args.deltas} deltas, got ${stream.deltas}`);
      lane.taken.push((stream.firstDelta ?? Number.NaN) - start);
      await sleep(3 + Math.random() * 5);
    }
  }
  for (const { connection } of lanes) connection.close();
  return lanes.map(({ taken }) => taken);
}

/** Creates responses without a stream. -> their ids */
async function create(args: { url: string; body: object; key?: string; times: number }): Promise<string[]> {
  const ids: string[] = [];
  await inParallel(args.times, async () => {
    const { id } = (await call(`${args.url}/v1/responses`, args.body, args.key)) as { id: string };
    ids.push(id);
  });
  return ids;
}

/** How many of the responses are in which status. */
async function statuses(args: { url: string; ids: string[] }): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  await inParallel(args.ids.length, async (index) => {
    const { status } = (await call(`${args.url}/v1/responses/${args.ids[index]}`)) as { status: string };
    found[status] = (found[status] ?? 0) + 1;
  });
  return found;
}

/** Reads a response so many times. */
async function poll(args: { url: string; id: string; key?: string; times: number }): Promise<void> {
  await inParallel(args.times, async () => {
    await call(`${args.url}/v1/responses/${args.id}`, undefined, args.key);
  });
}

async function inParallel(times: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < times) {
      next += 1;
      await run(next - 1);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

function call(url: string, body?: object, key?: string): Promise<unknown> {
  const json = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    ...(json !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) }),
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
  };
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method: json === undefined ? 'GET' : 'POST', headers }, (reply) => {
      let text = '';
      reply.setEncoding('utf8').on('data', (part: string) => (text += part));
      reply.on('end', () => {
        if (reply.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${url}: ${reply.statusCode} ${text}`));
      });
      reply.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(json);
  });
}

answer({ open, count, finish, firstTokens, create, statuses, poll });
