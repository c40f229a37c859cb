import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/**
 * A network that loses answers: passes bytes on, but instead of the first byte of each of the first answers it resets the
 * connection of the client. By then the server has done what it was asked.
 */
export interface DroppingProxy extends AsyncDisposable {
  /** Without `/v1`. */
  readonly url: string;
  /** How many answers it has kept back so far. */
  readonly dropped: number;
}

/** @param count of answers that nobody gets */
export async function startDroppingProxy(target: string, count: number): Promise<DroppingProxy> {
  const { hostname, port } = new URL(target);
  const clients = new Set<Socket>();
  let dropped = 0;
  const server = createServer((client) => {
    clients.add(client);
    const upstream = connect(Number(port), hostname);
    client.pipe(upstream);
    upstream.once('data', () => {
      if (dropped === count) return;
      dropped += 1;
      client.resetAndDestroy();
    });
    upstream.pipe(client);
    // Either end takes the other with it.
    client.on('error', () => upstream.destroy());
    client.on('close', () => {
      clients.delete(client);
      upstream.destroy();
    });
    upstream.on('error', () => client.destroy());
    upstream.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server that listens
    get dropped() {
      return dropped;
    },
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const client of clients) client.destroy();
      await once(server, 'close');
    },
  };
}
