import { systemClock } from '../../../server/src/clock.ts';
import { serve } from '../../../server/src/cli/serve.ts';
import { createScriptedProvider } from '../../../server/src/providers/scripted/provider.ts';

/** A server whose upstream takes no notice of an abort, and whose store stops answering appends with the first signal. */
let stopping = false;
process.once('SIGTERM', () => (stopping = true));
const never = new Promise<never>(() => {});
const otter = createScriptedProvider('otter', systemClock());
await serve({
  providers: [
    {
      ...otter,
      run: (turn) => otter.run(turn, new AbortController().signal),
      close: () => never,
    },
  ],
  wrapStore: (store) =>
    Object.assign(Object.create(store) as typeof store, {
      append: (...args: Parameters<typeof store.append>) => (stopping ? never : store.append(...args)),
      close: () => store.close(),
    }),
});
