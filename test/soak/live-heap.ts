import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BroadcastChannel, isMainThread } from 'node:worker_threads';

/**
 * Loaded before everything else (`--require`) in each thread of the server that is soaked: on SIGUSR2 each collects its
 * garbage, and the main one prints what is alive in all of them. Resident memory says that only roughly.
 */

/** What a line of standard output begins with that has the figure, bytes. */
export const LIVE_HEAP = 'live heap: ';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // what the flag brings
const channel = new BroadcastChannel('live-heap');
channel.unref();

function liveBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

if (isMainThread) {
  let own = 0;
  process.on('SIGUSR2', () => {
    own = liveBytes();
    channel.postMessage('measure');
  });
  channel.addEventListener('message', (message: unknown) => {
    const { data } = message as { data: unknown };
    if (typeof data === 'number') process.stdout.write(`${LIVE_HEAP}${own + data}\n`);
  });
} else {
  channel.addEventListener('message', (message: unknown) => {
    if ((message as { data: unknown }).data === 'measure') channel.postMessage(liveBytes());
  });
}
