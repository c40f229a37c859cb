import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RecordedRequest, Script, Step } from './upstream-script.ts';

export type { RecordedRequest, Script, Step } from './upstream-script.ts';

/** A Chat Completions server that does what it is told, model by model. */
export interface Upstream extends AsyncDisposable {
  /** Ends in `/v1`. */
  readonly url: string;
  readonly pid: number;
  /** What the next requests for `model` get; a model without a script answers a short text. */
  script(model: string, script: Script | Step[]): Promise<void>;
  requests(model?: string): Promise<RecordedRequest[]>;
  /** The `n`th request for `model`, counted from 1, once it is there. */
  waitForRequest(model: string, n?: number): Promise<RecordedRequest>;
  /** Resolves when the client has closed the connection of that request before its reply was complete. */
  waitForClose(model: string, n?: number): Promise<RecordedRequest>;
  /** Resolves when a script stands at the gate. */
  waitForGate(name: string): Promise<void>;
  release(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one on a free port of 127.0.0.1. It ends with this process at the latest. */
export async function startUpstream(options: { tls?: boolean } = {}): Promise<Upstream> {
  const program = fileURLToPath(new URL('upstream-server.ts', import.meta.url));
  const child = spawn(process.execPath, [program, ...(options.tls === true ? ['--tls'] : [])], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  const [ports] = (await Promise.race([
    once(child, 'message'),
    exited.then(([code]) => Promise.reject(new Error(`the scripted upstream ended with code ${String(code)}`))),
  ])) as [{ api: number; control: number }];
  const call = async (verb: string, args: object): Promise<unknown> => {
    const reply = await fetch(`http://127.0.0.1:${ports.control}/__control/${verb}`, {
      method: 'POST',
      body: JSON.stringify(args),
    });
    return ((await reply.json()) as { answer: unknown }).answer;
  };
  const stop = async (): Promise<void> => {
    child.kill();
    await exited;
  };
  return {
    url: options.tls === true ? `https://localhost:${ports.api}/v1` : `http://127.0.0.1:${ports.api}/v1`,
    pid: child.pid ?? 0,
    script: async (model, script) => {
      await call('script', { model, script: Array.isArray(script) ? { steps: script } : script });
    },
    requests: async (model) => (await call('requests', { model })) as RecordedRequest[],
    waitForRequest: async (model, n = 1) => (await call('request', { model, n })) as RecordedRequest,
    waitForClose: async (model, n = 1) => (await call('close', { model, n })) as RecordedRequest,
    waitForGate: async (name) => {
      await call('gate', { name });
    },
    release: async (name) => {
      await call('release', { name });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
