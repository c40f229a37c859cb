import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The benchmark's own processes and the channel to them: one question, one answer. */

type Question = { id: number; verb: string; args: unknown };
type Answer = { id: number; value?: unknown; error?: string };
type Verbs = Record<string, (args: never) => unknown>;

/** In the child. `ready` is what the parent's `startPeer` gets. */
export function answer(verbs: Verbs, ready: unknown = null): void {
  const send = (message: Answer): void => {
    process.send?.(message);
  };
  process.on('message', ({ id, verb, args }: Question) => {
    const run = async (): Promise<unknown> => verbs[verb]?.(args as never);
    run().then(
      (value) => send({ id, value }),
      (error: unknown) => send({ id, error: String(error) }),
    );
  });
  // A benchmark that was interrupted leaves nothing behind.
  process.on('disconnect', () => process.exit());
  send({ id: 0, value: ready });
}

export type Peer<Ready = unknown> = {
  pid: number;
  ready: Ready;
  ask<T>(verb: string, args?: object): Promise<T>;
  stop(): Promise<void>;
};

/** @param program a file beside this one */
export async function startPeer<Ready>(program: string, args: string[] = []): Promise<Peer<Ready>> {
  const child = fork(fileURLToPath(new URL(program, import.meta.url)), args, { stdio: 'inherit' });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let ids = 0;
  const begun = Promise.withResolvers<unknown>();
  waiting.set(0, begun);
  child.on('message', ({ id, value, error }: Answer) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new Error(`${program}: ${error}`));
  });
  let gone = false;
  const exited = once(child, 'exit').then(([code, signal]) => {
    gone = true;
    for (const call of waiting.values()) call.reject(new Error(`${program} ended by ${signal ?? code}`));
  });
  return {
    pid: child.pid ?? 0,
    ready: (await begun.promise) as Ready,
    ask: async <T>(verb: string, args: object = {}): Promise<T> => {
      if (gone) throw new Error(`${program} is gone`);
      const call = Promise.withResolvers<unknown>();
      ids += 1;
      waiting.set(ids, call);
      child.send({ id: ids, verb, args } satisfies Question);
      return (await call.promise) as T;
    },
    stop: async () => {
      child.kill();
      await exited;
    },
  };
}
