import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { ADMIN_OPERATIONS } from '../../server/src/http/admin-api.ts';
import { makeApp } from '../../server/src/http/app.ts';
import type { AppDeps } from '../../server/src/http/deps.ts';
import { ROOT, startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { fetchDocument, makeJudge, operationsOf } from '../support/openapi.ts';
import type { Document } from '../support/openapi.ts';
import { parseFrames } from '../support/sse.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import { LOCAL, deliveryUntil, runToEnd } from './webhook-endpoint.ts';
import { call, jsonRequest, otter, post, responseIn } from './wire.ts';

/** `GET /openapi.json`: what it says is what is served. */

const API_KEY = 'sk-holt-of-the-clients';
const PROVIDER_KEY = 'sk-of-the-provider';

let holt: TestHolt;
let document: Document;

before(async () => {
  holt = await startHolt(LOCAL);
  document = await fetchDocument(holt);
});
after(() => holt.stop());

test('it is OpenAPI 3.1', async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors));
  assert.equal(validator.version, '3.1');
  const manifest = JSON.parse(await readFile(join(ROOT, 'server/package.json'), 'utf8')) as { version: string };
  assert.equal(document.info.version, manifest.version);
});

test('every reference leads somewhere, and every named schema says something', () => {
  const { schemas } = document.components;
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to ?? '');
  assert.ok(references.length > 50);
  for (const to of references) assert.ok(Object.hasOwn(schemas, to.replace('#/components/schemas/', '')), to);
  for (const [name, schema] of Object.entries(schemas)) assert.notDeepEqual(schema, {}, name);
});

test('it has every route, and no other, but for those that need the admin key', () => {
  const documented = operationsOf(document).map(({ method, path }) => `${method} ${path}`);
  const admin = ADMIN_OPERATIONS.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  assert.ok(admin.every((operation) => / \/admin\/v1\//.test(operation)));
  assert.deepEqual([...documented, ...admin].toSorted(), routesOfApp().toSorted());
});

/** What the router has, in the document's spelling; HEAD comes with every GET, OPTIONS with every URL. */
function routesOfApp(): string[] {
  const deps = {
    responses: { settings: { strict: false } },
    cors: 'none',
    exposition: { access: 'key' },
    admin: { key: 'k' },
    connections: { headersMs: 1, requestMs: 1 },
  };
  const tree = makeApp(deps as unknown as AppDeps).printRoutes({ commonPrefix: false });
  const above: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const [, indent = '', part = '', methods = ''] = /^(.*?)[├└]── (\S+) \((.+)\)$/.exec(line) ?? [];
    if (part === '') return [];
    const depth = indent.length / 4;
    above.splice(depth, Infinity, part === '*' ? '/{model}' : part.replace(/:(\w+)/, '{$1}'));
    return methods
      .split(', ')
      .flatMap((method) => (method === 'HEAD' || method === 'OPTIONS' ? [] : [`${method} ${above.join('')}`]));
  });
}

test('it is the same for the same version', async () => {
  await using other = await startHolt({ flags: ['--upstream', 'http://127.0.0.1:9/v1'] });
  const [one, two] = await Promise.all(
    [holt, other].map(async ({ url }) => (await call('GET', `${url}/openapi.json`)).text),
  );
  assert.equal(one, two);
});

test('it needs no key and tells none, nor anything of this machine', async () => {
  await using guarded = await startHolt({
    env: { HOLT_API_KEY: API_KEY, HOLT_UPSTREAM_API_KEY: PROVIDER_KEY, HOLT_SECRET: 'a secret of some length' },
    flags: ['--upstream', 'http://127.0.0.1:9/v1'],
  });
  assert.equal((await call('GET', `${guarded.url}/v1/models`)).status, 401);
  const answer = await call('GET', `${guarded.url}/openapi.json`);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
  const secrets = [
    API_KEY,
    PROVIDER_KEY,
    'a secret of some length',
    guarded.data,
    new URL(guarded.url).host,
    hostname(),
  ];
  for (const secret of secrets) assert.ok(!answer.text.includes(secret), secret);
});

test('bounds of bodies and queries are in it', () => {
  const { schemas } = document.components;
  const { metadata } = schemas['UpdateConversation']?.properties ?? {};
  assert.equal(metadata?.maxProperties, 16);
  assert.deepEqual(schemas['CreateResponse']?.required, ['model', 'input']);
  const items = document.paths['/v1/responses/{id}/input_items']?.['get']?.parameters ?? [];
  const limit = items.find(({ name }) => name === 'limit')?.schema;
  assert.deepEqual([limit?.minimum, limit?.maximum], [1, 100]);
  const retrieve = document.paths['/v1/responses/{id}']?.['get']?.parameters ?? [];
  assert.deepEqual(
    retrieve.map(({ name }) => name),
    ['id', 'include[]', 'starting_after', 'include_obfuscation', 'stream', 'wait'],
  );
  const create = document.paths['/v1/responses']?.['post']?.parameters ?? [];
  assert.deepEqual(
    create.map(({ name, schema }) => [name, schema?.pattern]),
    [['Idempotency-Key', String.raw`^[\x21-\x7e]{1,255}$`]],
  );
});

test('what is answered is as it says', async () => {
  const judge = makeJudge(document);
  const operations = operationsOf(document);
  const seen = new Set<string>();
  const ask = async (method: string, template: string, path = template, body?: unknown): Promise<unknown> => {
    const described = operations.find((one) => one.method === method && one.path === template);
    assert.ok(described !== undefined, `${method} ${template}`);
    const init = body === undefined ? {} : jsonRequest(body);
    const answer = await call(method, `${holt.url}${path}`, { ...init, method });
    const type = answer.headers.get('content-type') ?? '';
    const parsed: unknown = type.startsWith('application/json') ? JSON.parse(answer.text) : answer.text;
    assert.equal(judge.answer(described, answer.status, type, parsed), undefined, answer.text);
    seen.add(`${method} ${template} ${answer.status}`);
    return parsed;
  };
  const idOf = (answer: unknown): string => (answer as { id: string }).id;

  const input = [{ role: 'user', content: 'Tell me.' }];
  const tools = [{ type: 'function', name: 'look', parameters: { type: 'object', properties: {} } }];
  for (const body of [
    otter(),
    otter({}, { background: true, input }),
    otter({ tool_call: 'look', reasoning_tokens: 3 }, { tools, tool_choice: 'required' }),
    otter({ fail_after: 3 }),
    otter({}, { max_output_tokens: 16 }),
    otter({}, { temperature: 7 }),
    otter({}, { model: 'nobody' }),
    'no JSON',
  ]) {
    await ask('POST', '/v1/responses', '/v1/responses', body);
  }
  const id = idOf(await ask('POST', '/v1/responses', '/v1/responses', otter({}, { background: true, input })));
  await ask('GET', '/v1/responses/{id}', `/v1/responses/${id}?wait=20`);
  await ask('GET', '/v1/responses/{id}', `/v1/responses/${id}?wait=x`);
  await ask('POST', '/v1/responses/{id}/cancel', `/v1/responses/${id}/cancel`);
  await ask('GET', '/v1/responses/{id}/input_items', `/v1/responses/${id}/input_items`);
  await ask('POST', '/v1/responses/input_tokens', '/v1/responses/input_tokens', { model: 'otter', input });
  await ask('POST', '/v1/responses/compact', '/v1/responses/compact', otter({}, { input }));
  await ask('DELETE', '/v1/responses/{id}', `/v1/responses/${id}`);
  await ask('DELETE', '/v1/responses/{id}', `/v1/responses/${id}`);

  const conversation = idOf(await ask('POST', '/v1/conversations', '/v1/conversations', { items: input }));
  const place = `/v1/conversations/${conversation}`;
  await ask('GET', '/v1/conversations/{id}', place);
  await ask('POST', '/v1/conversations/{id}', place, { metadata: { topic: 'otters' } });
  const added = await ask('POST', '/v1/conversations/{id}/items', `${place}/items`, { items: input });
  await ask('GET', '/v1/conversations/{id}/items', `${place}/items?limit=1`);
  const item = idOf((added as { data: unknown[] }).data[0]);
  await ask('GET', '/v1/conversations/{id}/items/{item}', `${place}/items/${item}`);
  await ask('DELETE', '/v1/conversations/{id}/items/{item}', `${place}/items/${item}`);
  await ask('DELETE', '/v1/conversations/{id}', place);

  await using receiver = await Receiver.start();
  const webhooks = '/v1/webhook_endpoints';
  const subscription = { name: 'n', url: receiver.url(), event_types: ['response.completed'] };
  const endpoint = idOf(await ask('POST', webhooks, webhooks, subscription));
  const hook = `${webhooks}/${endpoint}`;
  await ask('POST', `${webhooks}/{id}/test`, `${hook}/test`, { event_type: 'response.failed' });
  await runToEnd(holt, otter());
  const { id: delivery } = await deliveryUntil(holt, endpoint, ({ state }) => state === 'delivered');
  await ask('GET', webhooks, `${webhooks}?limit=1`);
  await ask('GET', `${webhooks}/{id}`, hook);
  await ask('POST', `${webhooks}/{id}`, hook, { name: 'other' });
  await ask('POST', `${webhooks}/{id}/rotate_secret`, `${hook}/rotate_secret`, {});
  await ask('GET', `${webhooks}/{id}/deliveries`, `${hook}/deliveries`);
  const redelivered = `${webhooks}/{id}/deliveries/{delivery}/redeliver`;
  await ask('POST', redelivered, `${hook}/deliveries/${delivery}/redeliver`);
  await ask('DELETE', `${webhooks}/{id}`, hook);
  await ask('GET', '/v1/webhook_event_types');

  await ask('GET', '/v1/models');
  await ask('GET', '/v1/models/{model}', '/v1/models/otter');
  await ask('GET', '/v1/models/{model}', '/v1/models/nobody');
  for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json']) await ask('GET', path);
  for (const { method, path } of operations) assert.ok(seen.has(`${method} ${path} 200`), `${method} ${path} was seen`);
});

test('events are as it says', async () => {
  const judge = makeJudge(document);
  const described = operationsOf(document).find(({ operation }) => operation.operationId === 'createResponse');
  assert.ok(described !== undefined);
  const answer = await post(holt, otter({ reasoning_tokens: 3 }, { stream: true }));
  const frames = parseFrames(answer.text);
  assert.ok(frames.length > 20);
  const type = answer.headers.get('content-type') ?? '';
  for (const { data } of frames) assert.equal(judge.answer(described, 200, type, data), undefined);
  assert.notEqual(judge.answer(described, 200, type, { type: 'response.created' }), undefined);
  assert.notEqual(
    judge.answer(described, 200, 'application/json', { id: responseIn(await post(holt, otter())).id }),
    undefined,
  );
});
