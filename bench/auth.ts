import { cpuOf } from './proc.ts';
import type { Setup } from './setup.ts';
import { spreadOf } from './spread.ts';
import type { Spread } from './spread.ts';

/**
 * Figure 4: CPU of a poll with the key of a project that has limits, over that of one on a server where nobody needs a
 * key. Both poll a response that has ended, run in turns, and are read from the accounting of their process.
 */

export type Auth = {
  /** × a poll without a key */
  ratio: Spread;
  /** µs per poll */
  keyedUs: Spread;
  openUs: Spread;
  /** Of one round, of each. */
  polls: number;
};

type Server = { url: string; pid: number; id: string; key?: string };

/** So that the code of both is as warm as it gets. */
const WARM_UP = 10_000;
const REQUEST = { model: 'events=20', input: 'Tell me about otters.', background: true };
/** None of them is reached: a limit that refuses would make the poll fail. */
const LIMITS = { requests_per_minute: 1_000_000, tokens_per_minute: 1e9, tokens_per_day: 1e12 };
const ADMIN_KEY = 'bench-admin-key-of-nobody';

export async function measureAuth(setup: Setup, size: { rounds: number; polls: number }): Promise<Auth> {
  const open = await setup.holt();
  const keyed = await setup.holt({ adminKey: ADMIN_KEY });
  const key = await makeKey(keyed.url);
  const servers: [Server, Server] = [
    { url: open.url, pid: open.pid, id: await ended(setup, open.url) },
    { url: keyed.url, pid: keyed.pid, id: await ended(setup, keyed.url, key), key },
  ];
  for (const server of servers) await perPoll(setup, server, WARM_UP);
  const openUs: number[] = [];
  const keyedUs: number[] = [];
  for (let round = 0; round < size.rounds; round += 1) {
    const [first, second] = round % 2 === 0 ? servers : servers.toReversed();
    const taken = new Map<Server | undefined, number>();
    for (const server of [first, second]) {
      if (server !== undefined) taken.set(server, await perPoll(setup, server, size.polls));
    }
    openUs.push(taken.get(servers[0]) ?? Number.NaN);
    keyedUs.push(taken.get(servers[1]) ?? Number.NaN);
  }
  await open.stop();
  await keyed.stop();
  return {
    ratio: spreadOf(keyedUs.map((us, round) => us / (openUs[round] ?? Number.NaN))),
    keyedUs: spreadOf(keyedUs),
    openUs: spreadOf(openUs),
    polls: size.polls,
  };
}

/** µs */
async function perPoll(setup: Setup, { url, pid, id, key }: Server, polls: number): Promise<number> {
  const before = cpuOf(pid);
  await setup.client.ask('poll', { url, id, times: polls, ...(key !== undefined && { key }) });
  return (cpuOf(pid) - before) / polls;
}

/** A response that has come to its end. */
async function ended(setup: Setup, url: string, key?: string): Promise<string> {
  const asked = { url, body: REQUEST, times: 1, ...(key !== undefined && { key }) };
  const [id = ''] = await setup.client.ask<string[]>('create', asked);
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const answer = await fetch(`${url}/v1/responses/${id}?wait=30`, { headers });
  const { status } = (await answer.json()) as { status: string };
  if (status !== 'completed') throw new Error(`the response is ${status}`);
  return id;
}

/** Of a project with limits of each kind, and with limits of its own. */
async function makeKey(url: string): Promise<string> {
  const { id } = (await admin(url, 'projects', { name: 'bench', limits: LIMITS })) as { id: string };
  const { value } = (await admin(url, `projects/${id}/keys`, { name: 'bench', limits: LIMITS })) as { value: string };
  return value;
}

async function admin(url: string, path: string, body: object): Promise<unknown> {
  const answer = await fetch(`${url}/admin/v1/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}
