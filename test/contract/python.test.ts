import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { ROOT, spawnHolt } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import type { Ran } from '../support/execute.ts';
import { startJudgingProxy } from '../support/judging-proxy.ts';
import type { JudgingProxy } from '../support/judging-proxy.ts';
import { findPython, runPython } from '../support/python.ts';
import type { Python } from '../support/python.ts';
import { skipUnavailable } from '../support/unavailable.ts';

/** The official Python client against Holt: the guide's programs as they stand, then our own. */

const GUIDE = join(ROOT, '../shared/background-mode-guide.txt');

let holt: HoltProcess;
let proxy: JudgingProxy;
let python: Python;
before(async () => {
  [holt, python] = await Promise.all([spawnHolt(), findPython()]);
  proxy = await startJudgingProxy(holt.url);
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await holt[Symbol.asyncDispose]();
});

/** Runs a program with nothing but the two variables that the guide's reader would set. */
async function run(t: TestContext, program: { file: string } | { source: string }): Promise<Ran | undefined> {
  if ('missing' in python) {
    skipUnavailable(t, python.missing);
    return undefined;
  }
  const environment = { OPENAI_BASE_URL: `${proxy.url}/v1`, OPENAI_API_KEY: 'test' };
  const ran = await runPython(python.interpreter, program, environment);
  assert.deepEqual(proxy.complaints, []);
  return ran;
}

describe('A55 the programs of the guide, unmodified', { concurrency: true }, () => {
  const guide = existsSync(GUIDE) ? programsOf(readFileSync(GUIDE, 'utf8')) : undefined;

  function guideTest(name: string, title: string, check: (t: TestContext, source: string) => Promise<void>): void {
    test(name, async (t) => {
      if (guide === undefined) return skipUnavailable(t, `${GUIDE} is not there`);
      const source = guide.get(title);
      assert.ok(source !== undefined, `the guide has no program "${title}", only ${[...guide.keys()].join()}`);
      await check(t, source);
    });
  }

  guideTest('create', 'Generate a response in the background', async (t, source) => {
    const ran = await run(t, { source });
    if (ran !== undefined) assert.equal(ran.stdout, 'queued\n', ran.stderr);
  });

  guideTest('poll', 'Retrieve a response executing in the background', async (t, source) => {
    const ran = await run(t, { source });
    if (ran === undefined) return;
    assert.equal(ran.code, 0, ran.stderr);
    const found = /^((?:Current status: (?:queued|in_progress)\n)+)Final status: completed\nOutput:\n(.+)\n$/.exec(
      ran.stdout,
    );
    assert.ok(found, ran.stdout);
    // The demonstration model tells the same story to everybody.
    const told = await holt.client.responses.create({
      model: 'gpt-5.2',
      input: 'Write a very long novel about otters in space.',
      metadata: { 'scripted.first_token_ms': '0', 'scripted.interval_ms': '0' },
    });
    assert.equal(found[2], told.output_text);
  });

  guideTest('stream with a cursor', 'Generate and stream a background response', async (t, source) => {
    const ran = await run(t, { source });
    if (ran === undefined) return;
    assert.equal(ran.code, 0, ran.stderr);
    const lines = ran.stdout.trimEnd().split('\n');
    const cursors = lines.map((line) => Number(/\bsequence_number=(\d+)/.exec(line)?.[1]));
    assert.deepEqual(
      cursors,
      lines.map((_, index) => index),
    );
    const [first] = lines;
    assert.match(first ?? '', /^ResponseCreatedEvent\(/);
    assert.match(lines.at(-1) ?? '', /^ResponseCompletedEvent\(/);
    assert.equal(lines.filter((line) => line.startsWith('ResponseTextDeltaEvent(')).length, 400);
  });

  guideTest('cancel', 'Cancel an ongoing response', async (t, source) => {
    const { id } = await holt.client.responses.create({
      model: 'gpt-5.2',
      input: 'A novel.',
      background: true,
      metadata: { 'scripted.tokens': '100000' },
    });
    assert.equal(source.split('resp_123').length, 2);
    const ran = await run(t, { source: source.replace('resp_123', id) });
    if (ran !== undefined) assert.equal(ran.stdout, 'cancelled\n', ran.stderr);
  });

  guideTest('cancel of a response that is not there', 'Cancel an ongoing response', async (t, source) => {
    const ran = await run(t, { source });
    if (ran === undefined) return;
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /^openai\.NotFoundError: .*Response with id 'resp_123' not found\./m);
  });
});

describe('openai-python', { concurrency: 2 }, () => {
  for (const [name, file] of [
    ['a raw stream, left at any event, goes on at its cursor', 'raw_stream.py'],
    ['stream() takes text, reasoning, a tool call and every kind of end, by creation and by id', 'stream_helper.py'],
    ['the asynchronous client polls, resumes and cancels', 'asynchronous.py'],
    ['a synchronous response has its output_text and can be retrieved', 'foreground.py'],
    ['input_items turns its pages in both orders', 'input_items.py'],
    ['cancel twice gives the same, delete then not found, with the empty bodies it sends', 'cancel_and_delete.py'],
    ['errors carry param and code', 'errors.py'],
    ['a tool is called and its output answered', 'tools.py'],
    ['models are listed', 'models.py'],
  ] as const) {
    test(name, async (t) => {
      const ran = await run(t, { file: `contract/python/${file}` });
      if (ran !== undefined) assert.equal(ran.code, 0, ran.stderr);
    });
  }
});

/**
 * The programs of the guide's text by their titles. A title is followed by the numbers of the program's lines, one on
 * a line from 1 up, and these by as many lines of program.
 */
function programsOf(guide: string): Map<string, string> {
  const lines = guide.split(/\r?\n/).map((line) => line.trimEnd());
  const programs = new Map<string, string>();
  for (let at = 0; at < lines.length; at += 1) {
    let count = 0;
    while (lines[at + count] === String(count + 1)) count += 1;
    if (count < 2) continue;
    const title = lines.slice(0, at).findLast((line) => line !== '') ?? '';
    programs.set(title, `${lines.slice(at + count, at + 2 * count).join('\n')}\n`);
    at += 2 * count - 1;
  }
  return programs;
}
