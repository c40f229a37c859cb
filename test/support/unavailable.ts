import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

/** Skips a test with the reason why it can't run here. CI has everything, so there it fails instead. */
export function skipUnavailable(t: TestContext, reason: string): void {
  assert.notEqual(process.env['CI'], 'true', `CI should be able to run this: ${reason}`);
  t.skip(reason);
}
