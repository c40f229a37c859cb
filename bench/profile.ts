import { readFileSync } from 'node:fs';

/** `node bench/profile.ts FILE.cpuprofile …`: where the time went that was not idle, by function and by file. */

type Frame = { functionName: string; url: string; lineNumber: number };
type Profile = { nodes: { id: number; callFrame: Frame }[]; samples: number[]; timeDeltas: number[] };

const ROWS = 40;
const IDLE = new Set(['(idle)', '(root)']);

/** µs by function, without those that only called others. */
function selfTimes(profile: Profile): Map<Frame, number> {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map<Frame, number>();
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    // The delta before a sample is the time that it stands for.
    const delta = profile.timeDeltas[index] ?? 0;
    if (frame !== undefined && !IDLE.has(frame.functionName)) times.set(frame, (times.get(frame) ?? 0) + delta);
  }
  return times;
}

function fileOf({ url, functionName }: Frame): string {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  return url.replace(/^.*\/(node_modules|server\/src)\//, '');
}

function print(times: Map<Frame, number>, nameOf: (frame: Frame) => string): void {
  const sums = new Map<string, number>();
  for (const [frame, us] of times) sums.set(nameOf(frame), (sums.get(nameOf(frame)) ?? 0) + us);
  const total = [...times.values()].reduce((sum, us) => sum + us, 0);
  const rows = [...sums].toSorted((a, b) => b[1] - a[1]).slice(0, ROWS);
  for (const [name, us] of rows) {
    console.log(`${((100 * us) / total).toFixed(1).padStart(6)} %  ${(us / 1000).toFixed(0).padStart(7)} ms  ${name}`);
  }
}

for (const file of process.argv.slice(2)) {
  const times = selfTimes(JSON.parse(readFileSync(file, 'utf8')) as Profile);
  console.log(`\n${file}\nby function`);
  print(times, (frame) => `${frame.functionName || '(anonymous)'}  ${fileOf(frame)}:${frame.lineNumber + 1}`);
  console.log('by file');
  print(times, fileOf);
}
