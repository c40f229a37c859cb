import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { startHolt } from '../support/holt.ts';
import { startJudgingProxy } from '../support/judging-proxy.ts';
import { DOCUMENT_IS_THERE, judgeBody, judgeEvent, judgeText, judgedFetch } from '../support/official.ts';
import { parseFrames } from '../support/sse.ts';
import { skipUnavailable } from '../support/unavailable.ts';

/** The judge that sits behind every other test: that it is there, and that it does not wave everything through. */

test('every body and event that the tests see is held against the official document', async (t) => {
  if (!DOCUMENT_IS_THERE) return skipUnavailable(t, 'the official document does not lie beside the repository');
  await using holt = await startHolt();
  const metadata = { 'scripted.tokens': '1', 'scripted.first_token_ms': '0' };
  const answer = await fetch(`${holt.url}/v1/responses`, {
    method: 'POST',
    body: JSON.stringify({ model: 'otter', input: 'Hello', metadata }),
  });
  const response = (await answer.json()) as { output: object[] };
  judgeBody(response);

  const broken: [what: string, body: object, method?: string, path?: string][] = [
    ['a Response without its id', { ...response, id: undefined }],
    ['a Response of an unknown status', { ...response, status: 'expired' }],
    ['an item of an unknown type', { ...response, output: [{ ...response.output[0], type: 'novel' }] }],
    ['an error without its param', { error: { message: 'x', type: 'invalid_request_error', code: null } }],
    ['an error where a Response should be', { message: 'x' }, 'GET', 'responses/resp_1'],
    [
      'a page without has_more',
      { object: 'list', data: [], first_id: null, last_id: null },
      'GET',
      'responses/resp_1/input_items',
    ],
    [
      'a model without its owner',
      { object: 'list', data: [{ id: 'x', object: 'model', created: 1 }] },
      'GET',
      'models',
    ],
    ['a count without its number', { object: 'response.input_tokens' }, 'POST', 'responses/input_tokens'],
    ['a compaction that is a Response', response, 'POST', 'responses/compact'],
    [
      'a conversation without its time',
      { id: 'conv_1', object: 'conversation', metadata: {} },
      'POST',
      'conversations',
    ],
    ['an item of an unknown type', { type: 'novel', id: 'msg_1' }, 'GET', 'conversations/conv_1/items/msg_1'],
    [
      'a deletion that is none',
      { id: 'resp_1', object: 'response.deleted', deleted: true },
      'DELETE',
      'responses/resp_1',
    ],
  ];
  for (const [what, body, method = 'POST', path = 'responses'] of broken) {
    const origin = { method, url: `${holt.url}/v1/${path}?limit=3` };
    assert.throws(() => judgeText(JSON.stringify(body), origin), /not a \w+ of the official document/, what);
  }

  const inPart = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  const delta = { type: 'response.output_text.delta', sequence_number: 1, ...inPart, delta: 'x' };
  judgeEvent(Object.assign({ logprobs: [] }, delta));
  assert.throws(() => judgeEvent(delta), /logprobs/);
  assert.throws(() => judgeEvent({ type: 'response.cancelled' }), /has no event response\.cancelled/);
  assert.throws(() => parseFrames(`event: ${delta.type}\ndata: ${JSON.stringify(delta)}\n\n`), /official document/);
});

test('what clients read is judged on its way', async (t) => {
  if (!DOCUMENT_IS_THERE) return skipUnavailable(t, 'the official document does not lie beside the repository');
  const server = createServer((request, response) => {
    const stream = request.url === '/v1/responses';
    response.setHeader('content-type', stream ? 'text/event-stream; charset=utf-8' : 'application/json');
    response.end(stream ? 'event: x\ndata: {"type":"x"}\n\n' : '{"object":"list"}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens
  const url = `http://127.0.0.1:${port}/v1`;
  await assert.rejects(
    judgedFetch(`${url}/responses`, { method: 'POST' }).then((answer) => answer.text()),
    /has no event x/,
  );
  await assert.rejects(judgedFetch(`${url}/models`), /ListModelsResponse/);

  await using proxy = await startJudgingProxy(url.slice(0, -'/v1'.length));
  const streamed = await fetch(`${proxy.url}/v1/responses`, { method: 'POST' });
  assert.match(await streamed.text(), /^event: x\n/);
  assert.equal(await (await fetch(`${proxy.url}/v1/models`)).text(), '{"object":"list"}');
  const [first, second, ...more] = proxy.complaints;
  assert.match(first ?? '', /has no event x/);
  assert.match(second ?? '', /ListModelsResponse/);
  assert.deepEqual(more, []);
  server.close();
});
