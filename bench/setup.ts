import { startHolt } from './holt.ts';
import type { HoltProcess } from './holt.ts';
import { startPeer } from './rpc.ts';
import type { Peer } from './rpc.ts';

/** The processes that every figure shares, and how to start a Holt in front of them. */

export type Setup = {
  upstream: Peer<string>;
  client: Peer;
  /** The bare relay; `ready` is its URL. */
  relay: Peer<string>;
  holt(options?: { concurrency?: number; adminKey?: string }): Promise<HoltProcess>;
  stop(): Promise<void>;
};

export async function startSetup(options: { flags: string[] }): Promise<Setup> {
  const upstream = await startPeer<string>('upstream.ts');
  const client = await startPeer('client.ts');
  const relay = await startPeer<string>('baselines/relay.ts', [upstream.ready]);
  return {
    upstream,
    client,
    relay,
    holt: (more = {}) => startHolt({ upstream: upstream.ready, flags: options.flags, ...more }),
    stop: async () => {
      await Promise.all([upstream.stop(), client.stop(), relay.stop()]);
    },
  };
}
