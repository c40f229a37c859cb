import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import {
  EventReader,
  RawClient,
  assertError,
  create,
  idIn,
  jsonRequest,
  otter,
  parseAnswer,
  pollUntil,
  post,
} from './wire.ts';

/** JSON bodies are compressed for who asks for it, event streams never. */

let holt: TestHolt;
let id: string;
/** The bytes of the response as they are. */
let plain: string;
before(async () => {
  holt = await startHolt({ configure: (config) => (config.server.cors = ['https://app.example']) });
  ({ id } = await create(holt, otter({ tokens: 400 }, { background: true })));
  await pollUntil(holt, id);
  plain = (await ask(`/v1/responses/${id}`)).body.toString();
});
after(() => holt.stop());

type Raw = { status: number; head: Headers; body: Buffer };

/** What is on the wire: `fetch` asks for compression by itself and hides it. */
async function ask(path: string, headers: string[] = [], method = 'GET'): Promise<Raw> {
  const client = await RawClient.open(holt);
  client.send([`${method} ${path} HTTP/1.1`, ...headers, 'Connection: close'].join('\r\n'));
  await client.closed;
  const { status, head } = parseAnswer(client.bytes);
  const pairs = head
    .split('\r\n')
    .slice(1)
    .map((line) => line.split(': ') as [string, string]);
  return { status, head: new Headers(pairs), body: client.bytes.subarray(client.bytes.indexOf('\r\n\r\n') + 4) };
}

const DECODERS: Record<string, (body: Buffer) => Buffer> = {
  br: brotliDecompressSync,
  gzip: gunzipSync,
  deflate: inflateSync,
};

for (const [accepted, encoding] of [
  ['gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
  ['gzip, deflate', 'gzip'],
  ['gzip, deflate, br, zstd', 'br'],
  ['GZIP;q=1.0, br;q=0.5', 'gzip'],
  ['br;q=0, gzip;q=0.1', 'gzip'],
  ['*', 'br'],
  ['*, br;q=0', 'gzip'],
] as const) {
  test(`Accept-Encoding: ${accepted} is answered in ${encoding}, with the same bytes inside`, async () => {
    const { head, body } = await ask(`/v1/responses/${id}`, [`Accept-Encoding: ${accepted}`]);
    assert.equal(head.get('content-encoding'), encoding);
    assert.equal(DECODERS[encoding]?.(body).toString(), plain);
    assert.ok(body.length < plain.length / 2, `${body.length} of ${plain.length} bytes`);
    assert.equal(head.get('content-length'), String(body.length));
    assert.match(head.get('content-type') ?? '', /^application\/json/);
    assert.match(head.get('vary') ?? '', /\bAccept-Encoding\b/);
    assert.match(head.get('vary') ?? '', /\bOrigin\b/);
  });
}

test('who takes none of the encodings, or says nothing, gets the bytes as they are', async () => {
  for (const headers of [
    [],
    ['Accept-Encoding:'],
    ['Accept-Encoding: identity'],
    ['Accept-Encoding: zstd'],
    ['Accept-Encoding: identity, gzip;q=0.5'],
    ['Accept-Encoding: gzip;q=0, br;q=0, deflate;q=0'],
    ['Accept-Encoding: *;q=0'],
    ['Accept-Encoding: gzip;q=x'],
    ['Accept-Encoding: constructor, __proto__'],
    ['Accept-Encoding: ,;,=;q'],
  ]) {
    const { head, body } = await ask(`/v1/responses/${id}`, headers);
    assert.deepEqual([head.get('content-encoding'), body.toString()], [null, plain], headers[0]);
  }
});

test('what is small is not worth it', async () => {
  for (const path of ['/v1/models', '/v1/responses/resp_123', '/healthz']) {
    const { head, body } = await ask(path, ['Accept-Encoding: gzip']);
    assert.equal(head.get('content-encoding'), null, path);
    assert.doesNotThrow(() => JSON.parse(body.toString()) as unknown);
  }
});

test('every long JSON answer is compressed, errors too', async () => {
  const input = Array.from({ length: 30 }, (_, index) => ({ role: 'user', content: `message ${index}` }));
  const made = await create(holt, otter({ tokens: 1 }, { input }));
  const { head, body, status } = await ask(`/v1/responses/${made.id}/input_items`, ['Accept-Encoding: gzip']);
  assert.deepEqual([status, head.get('content-encoding')], [200, 'gzip']);
  assert.doesNotThrow(() => JSON.parse(gunzipSync(body).toString()) as unknown);
  // Its `param` names the key.
  const metadata = { ['k'.repeat(2_000)]: 'x' };
  const refused = await post(holt, otter({}, { metadata }), { 'accept-encoding': 'gzip' });
  assertError(refused, 400);
  assert.equal(refused.headers.get('content-encoding'), 'gzip');
});

test('HEAD has the headers of the compressed answer', async () => {
  const [whole, head] = await Promise.all(
    ['GET', 'HEAD'].map((method) => ask(`/v1/responses/${id}`, ['Accept-Encoding: gzip'], method)),
  );
  assert.equal(head?.body.length, 0);
  for (const name of ['content-encoding', 'content-length', 'vary']) {
    assert.equal(head?.head.get(name), whole?.head.get(name), name);
  }
});

test('under a storm every answer is whole, compressed or not', async () => {
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => ask(`/v1/responses/${id}`, ['Accept-Encoding: gzip'])),
  );
  for (const { head, body } of answers) {
    assert.equal((head.get('content-encoding') === 'gzip' ? gunzipSync(body) : body).toString(), plain);
  }
});

test('an event stream is never compressed', async () => {
  const accept = { 'accept-encoding': 'gzip, br' };
  const url = `${holt.url}/v1/responses`;
  const reader = await EventReader.open(
    url,
    jsonRequest(otter({ tokens: 200 }, { background: true, stream: true }), accept),
  );
  assert.equal(reader.headers.get('content-encoding'), null);
  const streamed = idIn((await reader.rest())[0]);
  const { head, body } = await ask(`/v1/responses/${streamed}?stream=true`, ['Accept-Encoding: gzip, br']);
  assert.equal(head.get('content-encoding'), null);
  assert.match(body.toString(), /event: response\.completed\n/);
});
