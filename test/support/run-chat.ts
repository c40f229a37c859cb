import { collect, openProvider, turnFor } from './chat-run.ts';

/** `node run-chat.ts '{"baseUrl", "proxy"}'`: one turn in a process of its own, its events as JSON on stdout. */

const options = JSON.parse(process.argv[2] ?? '{}') as { baseUrl: string; proxy: { https?: string } };
await using provider = openProvider(options.baseUrl, { proxy: options.proxy });
process.stdout.write(JSON.stringify(await collect(provider, turnFor('any'))));
