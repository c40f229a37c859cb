import { loadProcessConfig } from '../config.ts';
import type { Config } from '../config.ts';
import { StopOverdue, start } from '../main.ts';
import type { Holt, Overrides } from '../main.ts';

/** `holt serve`: runs until SIGTERM or SIGINT, then stops gracefully; a second signal ends it at once. */
export async function serve(overrides: Overrides = {}): Promise<number> {
  const config = loadProcessConfig();
  const holt = await start(config, overrides);
  const stopped = new Promise<void>((resolve, reject) => {
    let stopping = false;
    const stop = (): void => {
      if (stopping) process.exit(1);
      stopping = true;
      console.log('Stopping: running responses may finish. Press again to stop at once.');
      holt.stop().then(resolve, (error: unknown) => {
        if (!(error instanceof StopOverdue)) {
          reject(error);
          return;
        }
        // What does not answer would keep the process alive.
        console.error(`holt: ${error.message}`);
        process.exit(1);
      });
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
  // Only now: whoever reads that it serves may stop it at once.
  console.log(greeting(config, holt));
  await stopped;
  return 0;
}

function greeting(config: Config, { url, keyed }: Holt): string {
  const lines = [`Holt serves the OpenAI Responses API at ${url}/v1`, `  data: ${config.store.data}`];
  for (const [name, { provider, model }] of Object.entries(config.models)) {
    lines.push(
      `  model ${name === '*' ? '* (any other name)' : name}: ${model === undefined ? provider : `${provider}/${model}`}`,
    );
  }
  if (Object.values(config.providers).some(({ kind }) => kind === 'scripted')) {
    lines.push('  otter is a demonstration model: it tells a made-up story and knows nothing.');
    lines.push('  Point Holt at a real one with --upstream http://localhost:11434/v1, or in holt.yaml.');
  }
  lines.push(
    keyed
      ? '  clients need an API key'
      : '  there is no API key: every program on this machine may use it, and nobody else',
  );
  return lines.join('\n');
}
