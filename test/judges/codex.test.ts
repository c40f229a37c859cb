import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import { findCodex } from '../support/codex.ts';
import { execute } from '../support/execute.ts';
import { temporaryDirectory } from '../support/holt.ts';
import { skipUnavailable } from '../support/unavailable.ts';
import { ANIMAL, PIXEL, assertSeen, serve } from './served.ts';
import type { ChatRequest, Served } from './served.ts';

/**
 * The Codex command-line client with `wire_api = "responses"`. It stores nothing and takes its reasoning from request to
 * request as encrypted content. Among the tools that
 * it offers are some of OpenAI's own, which a lenient model goes without.
 */

let served: Served;
let codex: Awaited<ReturnType<typeof findCodex>>;
let home: string;
before(async () => {
  [served, codex, home] = await Promise.all([serve(['--compat', 'lenient']), findCodex(), temporaryDirectory()]);
  const call = { name: 'exec_command', arguments: { cmd: 'echo holt-$((40 + 2)) | tee -a ran.txt' } };
  await served.upstream.script('coder', { agent: { call, thought: 'A command will do.' } });
  await mkdir(join(home, 'work'));
  await writeFile(join(home, 'config.toml'), settings(served.baseURL));
  await writeFile(join(home, 'work/pixel.png'), Buffer.from(PIXEL.slice(PIXEL.indexOf(',')), 'base64'));
  await writeFile(join(home, 'work/animal.json'), JSON.stringify(SCHEMA));
});
after(async () => {
  await served[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string' }, legs: { type: 'integer' } },
  required: ['name', 'legs'],
  additionalProperties: false,
};

function settings(baseURL: string): string {
  return `
model_provider = "holt"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.holt]
name = "Holt"
base_url = "${baseURL}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
`;
}

/** What `codex exec --json` prints, a line each. */
type CodexEvent = {
  type: string;
  thread_id?: string;
  item?: { type: string; text?: string; exit_code?: number; aggregated_output?: string };
  usage?: Record<string, number>;
  error?: { message: string };
};

async function exec(t: TestContext, model: string, ...args: string[]): Promise<CodexEvent[] | undefined> {
  if ('missing' in codex) {
    skipUnavailable(t, codex.missing);
    return undefined;
  }
  const flags = ['exec', '--json', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox'];
  const ran = await execute(codex.program, [...flags, '--model', model, ...args], {
    cwd: join(home, 'work'),
    env: { PATH: process.env['PATH'], HOME: home, CODEX_HOME: home },
    signal: t.signal,
  });
  if ('missing' in ran) assert.fail(ran.missing);
  const lines = ran.stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as CodexEvent);
}

/** The texts of the items of a kind that were completed. */
function said(events: CodexEvent[]): (string | undefined)[] {
  return events.flatMap(({ type, item }) =>
    type === 'item.completed' && item?.type === 'agent_message' ? [item.text] : [],
  );
}

function roles({ messages }: ChatRequest): string[] {
  return messages.map(({ role }) => role);
}

test('a command runs once, its output is answered, and the conversation goes on later', async (t) => {
  const first = await exec(t, 'coder', 'What is the answer?');
  if (first === undefined) return;
  const commands = first.filter(({ item }) => item?.type === 'command_execution');
  assert.deepEqual(
    commands.map(({ type }) => type),
    ['item.started', 'item.completed'],
    JSON.stringify(first),
  );
  assert.equal(commands[1]?.item?.aggregated_output, 'holt-42\n');
  assert.match(said(first).join(), /^The tool said: .*\nholt-42\n$/s);
  const ended = first.at(-1);
  assert.equal(ended?.type, 'turn.completed');
  assert.deepEqual([ended.usage?.['input_tokens'], ended.usage?.['output_tokens']], [60, 24]);
  const second = await exec(t, 'coder', 'resume', first[0]?.thread_id ?? '', 'Are you sure?');
  assert.match(said(second ?? []).join(), /holt-42\n$/);
  assert.equal(await readFile(join(home, 'work/ran.txt'), 'utf8'), 'holt-42\nholt-42\n');
  const requests = await served.sentTo('coder');
  assert.equal(requests.length, 4);
  const exchange = ['user', 'assistant', 'tool'];
  const [told, answered] = [requests[0], requests[3]].map((request) => roles(request as ChatRequest));
  assert.deepEqual(answered?.slice(-7), [...exchange, 'assistant', ...exchange]);
  assert.ok(told?.at(-1) === 'user');
  // Reasoning comes back to the model that is in the middle of it, though nothing was stored.
  assert.match(JSON.stringify(requests[1]?.messages.at(-2)), /A command will do\./);
});

test('a patch that the model writes as free text is applied', async (t) => {
  const input = '*** Begin Patch\n*** Add File: new.txt\n+It says "hello".\n*** End Patch\n';
  // Codex offers this tool to models that it knows.
  const model = 'gpt-5.5';
  await served.upstream.script(model, { agent: { call: { name: 'apply_patch', arguments: { input } } } });
  const events = await exec(t, model, 'Write a file.');
  if (events === undefined) return;
  assert.equal(await readFile(join(home, 'work/new.txt'), 'utf8'), 'It says "hello".\n', JSON.stringify(events));
  assert.match(said(events).join(), /^The tool said: .*A new\.txt/s);
  assert.equal((await served.sentTo(model)).length, 2);
});

test('an image is shown to the model', async (t) => {
  const events = await exec(t, 'seer', '--image', 'pixel.png', '--', 'What is this?');
  if (events === undefined) return;
  assert.match(said(events).join(), /What is this\?$/, JSON.stringify(events));
  assertSeen(await served.sentTo('seer'), 'data:image/png;base64,');
});

test('an output schema is asked for as a JSON schema', async (t) => {
  const events = await exec(t, 'writer', '--output-schema', 'animal.json', 'An animal.');
  if (events === undefined) return;
  assert.deepEqual(JSON.parse(said(events).join()), ANIMAL);
  assert.equal((await served.sentTo('writer'))[0]?.response_format?.type, 'json_schema');
});

test('a refused request and a run that fails end the turn as failed', async (t) => {
  const busy = await exec(t, 'busy', 'Now!');
  if (busy === undefined) return;
  assert.equal(busy.at(-1)?.type, 'turn.failed');
  assert.match(busy.at(-1)?.error?.message ?? '', /429 Too Many Requests/);
  const dying = await exec(t, 'dying', 'Say it.');
  assert.deepEqual(said(dying ?? []), ['I was about to']);
  assert.equal(dying?.at(-1)?.type, 'turn.failed');
  assert.match(dying.at(-1)?.error?.message ?? '', /The upstream ended in the middle of the answer\./);
});
