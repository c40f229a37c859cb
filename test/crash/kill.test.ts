import { test } from 'node:test';
import { killRound } from './round.ts';

for (const seed of [1, 2, 3]) {
  test(`seed ${seed}`, { timeout: 60_000 }, async (t) => {
    const ends = await killRound({ seed, clients: 14, kills: 3, concurrency: 6, atBoot: seed === 3 });
    t.diagnostic([...ends].map(([end, count]) => `${count} ${end}`).join(', '));
  });
}
