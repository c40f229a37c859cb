import { describe, test } from 'node:test';
import { killRound } from './round.ts';

/**
 * Promises 1, 2, 3 and 5 under kill -9, in short: three rounds of clients of every kind (round.ts). kill.long.ts has
 * many more. A failure prints what to repeat it with.
 */

describe('killed again and again, at moments that clients saw', { concurrency: 2 }, () => {
  for (const seed of [1, 2, 3]) {
    test(`seed ${seed}`, { timeout: 90_000 }, async (t) => {
      const ends = await killRound(t.signal, { seed, clients: 14, kills: 3, concurrency: 6, atBoot: seed === 3 });
      t.diagnostic([...ends].map(([end, count]) => `${count} ${end}`).join(', '));
    });
  }
});
