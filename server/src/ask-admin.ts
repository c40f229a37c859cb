import { request as requestPlain } from 'node:http';
import { request as requestSecure } from 'node:https';

/** `/admin/v1` of a running server, for the command line. */

export type AdminQuestion = {
  method: 'GET' | 'POST' | 'DELETE';
  url: URL;
  key: string;
  body?: object | undefined;
  signal: AbortSignal;
};
export type AdminAnswer = { status: number; body: unknown };

/**
 * Waits as long as the server takes: a large database is copied for minutes, and a connection that breaks ends the
 * wait. Rejects when there is no server, or when `signal` aborts.
 */
export async function askAdmin({ method, url, key, body, signal }: AdminQuestion): Promise<AdminAnswer> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = {
    authorization: `Bearer ${key}`,
    ...(body !== undefined && { 'content-type': 'application/json' }),
    'content-length': Buffer.byteLength(text),
  };
  const request = url.protocol === 'https:' ? requestSecure : requestPlain;
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, signal }, (answer) => {
      let received = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => (received += part));
      answer.on('error', reject);
      answer.on('end', () => {
        resolve({ status: answer.statusCode ?? 0, body: parse(received) });
      });
    });
    sent.on('error', reject);
    sent.end(text);
  });
}

/** The text itself when it is no JSON: something else answered. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The one way in which this fails is that it is no JSON.
    return text;
  }
}
