import { BroadcastChannel, isMainThread, workerData } from 'node:worker_threads';

/**
 * Loaded into a server (`--import`) and into its threads: SIGUSR2 ends the store thread, by an error that nobody catches or,
 * if `STORE_ENDS` says `silently`, without a word.
 */

const channel = new BroadcastChannel('the end of the store thread');

if (isMainThread) {
  channel.unref();
  process.on('SIGUSR2', () => {
    channel.postMessage('now');
  });
} else if (typeof workerData === 'object' && workerData !== null && 'file' in workerData) {
  channel.unref();
  channel.addEventListener('message', () => {
    if (process.env['STORE_ENDS'] === 'silently') process.exit(0); // of a thread: that thread
    throw new Error('the store thread was told to die');
  });
}
