import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPython, runPython } from '../support/python.ts';
import { skipUnavailable } from '../support/unavailable.ts';
import { assertPaired, assertSeen, serve } from './served.ts';

/**
 * A program of `python/`, which asserts what users of its client would notice; what has reached the upstream on the way
 * is asserted here.
 */
export function judgePython(promise: string, file: string): void {
  test(promise, async (t) => {
    const python = await findPython();
    if ('missing' in python) return skipUnavailable(t, python.missing);
    await using served = await serve();
    const environment = { OPENAI_BASE_URL: served.baseURL, OPENAI_API_KEY: 'test' };
    const ran = await runPython(python.interpreter, { file: `judges/python/${file}` }, environment);
    assert.equal(ran.code, 0, ran.stderr);
    assertPaired(await served.sentTo('caller'), '18 degrees');
    assertSeen(await served.sentTo('seer'));
    assert.equal((await served.sentTo('writer'))[0]?.response_format?.type, 'json_schema');
  });
}
