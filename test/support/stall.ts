/** Loaded into a server (`--import`): each SIGUSR2 stops its event loop, and nothing else of it, for five seconds. */

const STALL_MS = 5_000;

process.on('SIGUSR2', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS);
});
