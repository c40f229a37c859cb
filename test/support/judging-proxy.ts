import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventJudge, judgeText } from './official.ts';

/**
 * Between Holt and a client in a process of its own, whose bodies and events a test does not see: passes every byte on
 * as it comes and holds what Holt says against the official document.
 */
export interface JudgingProxy extends AsyncDisposable {
  /** Without `/v1`. */
  readonly url: string;
  /** What was not as the document has it, so far. */
  readonly complaints: readonly string[];
}

export async function startJudgingProxy(target: string): Promise<JudgingProxy> {
  const complaints: string[] = [];
  const judge = (check: () => void): void => {
    try {
      check();
    } catch (error) {
      complaints.push(String(error));
    }
  };
  const server = createServer((asked, answer) => {
    const { method = 'GET' } = asked;
    const url = `${target}${asked.url ?? '/'}`;
    // An answer that is compressed could not be read here.
    const headers = { ...asked.headers, host: new URL(target).host, 'accept-encoding': 'identity' };
    const upstream = request(url, { method, headers }, (reply) => {
      pass(reply, answer);
      listen(reply, { method, url }, judge);
    });
    upstream.on('error', () => answer.destroy());
    answer.on('close', () => upstream.destroy());
    asked.pipe(upstream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens
  return {
    url: `http://127.0.0.1:${port}`,
    complaints,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function pass(reply: IncomingMessage, answer: ServerResponse): void {
  answer.writeHead(reply.statusCode ?? 502, reply.rawHeaders);
  answer.flushHeaders();
  // A cut connection is a cut connection for the client too.
  reply.on('error', () => answer.destroy());
  reply.pipe(answer);
}

function listen(
  reply: IncomingMessage,
  origin: { method: string; url: string },
  judge: (check: () => void) => void,
): void {
  if (reply.headers['content-type']?.startsWith('text/event-stream') === true) {
    const events = new EventJudge();
    reply.on('data', (bytes: Buffer) => {
      judge(() => {
        events.take(bytes);
      });
    });
    return;
  }
  const pieces: Buffer[] = [];
  reply.on('data', (bytes: Buffer) => pieces.push(bytes));
  reply.on('end', () => {
    judge(() => {
      judgeText(Buffer.concat(pieces).toString(), origin);
    });
  });
}
