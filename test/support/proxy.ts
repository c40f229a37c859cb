import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';

/** A proxy that knows only CONNECT, in this process, and counts. */
export interface ConnectProxy extends AsyncDisposable {
  readonly url: string;
  /** `host:port` of every CONNECT so far. */
  readonly connects: readonly string[];
}

export async function startProxy(): Promise<ConnectProxy> {
  const connects: string[] = [];
  const server = createServer((_, response) => {
    response.writeHead(405).end();
  });
  server.on('connect', (request, client, head) => {
    const target = request.url ?? '';
    connects.push(target);
    const { hostname, port } = new URL(`tcp://${target}`);
    const upstream = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.write(head);
      upstream.pipe(client);
      client.pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
    client.on('close', () => upstream.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    connects,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
