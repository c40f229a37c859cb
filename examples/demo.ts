import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { loadConfig } from '../server/src/config.ts';
import { start } from '../server/src/main.ts';

/**
 * `npm run demo`: a server, the official client, and the three things background mode is for. Takes some ten seconds.
 */

const out = process.stdout;
const bold = (text: string): string => (out.isTTY ? `\u001b[1m${text}\u001b[0m` : text);
const dim = (text: string): string => (out.isTTY ? `\u001b[2m${text}\u001b[0m` : text);
const say = (text = ''): void => {
  out.write(`${text}\n`);
};

const data = await mkdtemp(join(tmpdir(), 'holt-demo-'));
const holt = await start(loadConfig(['--port', '0', '--data', data, '--log-level', 'error'], {}));
const client = new OpenAI({ baseURL: `${holt.url}/v1`, apiKey: 'demo' });
say(`Holt runs at ${holt.url}, with its demonstration model ${bold('otter')}.`);

try {
  const resumed = await dropAndResume();
  const polled = await poll();
  const cancelled = await cancel();
  say();
  say(bold('What happened'));
  say(`  streamed   ${resumed}`);
  say(`  polled     ${polled}`);
  say(`  cancelled  ${cancelled}`);
} finally {
  await holt.stop();
  await rm(data, { recursive: true });
}

/** Streams, loses the connection on purpose, and goes on at the cursor. */
async function dropAndResume(): Promise<string> {
  say(`\n${bold('1. A stream that survives its connection')}`);
  const stream = await client.responses.create({
    model: 'otter',
    input: 'Write a very long novel about otters in space.',
    background: true,
    stream: true,
    metadata: { 'scripted.tokens': '120', 'scripted.interval_ms': '20' },
  });
  let id = '';
  let cursor = -1;
  let events = 0;
  let text = '';
  for await (const event of stream) {
    events += 1;
    cursor = event.sequence_number;
    if (event.type === 'response.created') id = event.response.id;
    if (event.type === 'response.output_text.delta') {
      text += event.delta;
      out.write(event.delta);
    }
    if (cursor === 60) break; // leaving the loop closes the connection
  }
  say(dim(` ✂ connection dropped at cursor ${cursor}`));
  await sleep(1_000);
  say(dim('  … a second later, from a new connection:'));
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: cursor });
  for await (const event of rest) {
    if (event.sequence_number !== cursor + 1) throw new Error(`expected ${cursor + 1}, got ${event.sequence_number}`);
    events += 1;
    cursor = event.sequence_number;
    if (event.type === 'response.output_text.delta') {
      text += event.delta;
      out.write(event.delta);
    }
  }
  say();
  const final = await client.responses.retrieve(id);
  if (final.output_text !== text) throw new Error('what was streamed is not what is stored');
  return `${events} events over two connections, 0 to ${cursor}, none lost and none twice; ${final.status}`;
}

/** Starts, walks away, asks now and then. */
async function poll(): Promise<string> {
  say(`\n${bold('2. A response that is polled')}`);
  const tokens = 150;
  let response = await client.responses.create({
    model: 'otter',
    input: 'And now a short one.',
    background: true,
    metadata: { 'scripted.tokens': String(tokens), 'scripted.seed': '7' },
  });
  let polls = 0;
  while (response.status === 'queued' || response.status === 'in_progress') {
    await sleep(250);
    response = await client.responses.retrieve(response.id);
    polls += 1;
    const words = response.output_text.split(' ').filter(Boolean).length;
    const done = Math.round((20 * words) / tokens);
    const line = `  ${'█'.repeat(done)}${'░'.repeat(20 - done)} ${String(words).padStart(3)} words, ${response.status}`;
    if (out.isTTY) out.write(`\r${line.padEnd(60)}`);
    else say(line);
  }
  if (out.isTTY) say();
  return `${response.status} after ${polls} polls, ${response.usage?.output_tokens} tokens`;
}

/** Starts something endless and stops it. */
async function cancel(): Promise<string> {
  say(`\n${bold('3. A response that is cancelled')}`);
  const response = await client.responses.create({
    model: 'otter',
    input: 'Never stop.',
    background: true,
    metadata: { 'scripted.tokens': '100000' },
  });
  await sleep(800);
  const first = await client.responses.cancel(response.id);
  const again = await client.responses.cancel(response.id);
  const kept = await client.responses.retrieve(response.id);
  say(`  ${response.id}: ${first.status}, and when cancelled again: ${again.status}`);
  return `${kept.status}, with the ${kept.output_text.length} characters it had produced`;
}
