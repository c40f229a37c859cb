import { systemClock } from '../../../server/src/clock.ts';
import { serve } from '../../../server/src/cli/serve.ts';
import { createScriptedProvider } from '../../../server/src/providers/scripted/provider.ts';

/** A server that dies of every run of a response with the metadata key `deadly`. */
const otter = createScriptedProvider('otter', systemClock());
await serve({
  providers: [
    {
      ...otter,
      run: (turn, signal) => {
        if (turn.request.metadata?.['deadly'] !== undefined) process.kill(process.pid, 'SIGKILL');
        return otter.run(turn, signal);
      },
    },
  ],
});
