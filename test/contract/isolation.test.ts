import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { OPERATIONS } from '../../server/src/http/api.ts';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import { ADMIN_KEY, makeTeam } from './admin-client.ts';
import type { Team } from './admin-client.ts';
import { LOCAL } from './webhook-endpoint.ts';
import { call, jsonRequest, otter } from './wire.ts';
import type { Answer } from './wire.ts';

/**
 * Nobody else's (promise 7): to a key of one project everything of another is as if it had never been. Every route,
 * with every kind of id that it takes, asked by the wrong project: its answer is that for an id that nobody ever had, byte
 * for byte.
 */

/** What a project has, by the kinds of ids there are. */
type Ids = Record<
  'response' | 'inputItem' | 'outputItem' | 'conversation' | 'conversationItem' | 'endpoint' | 'delivery',
  string
>;

/** @param ids of the other project; @param own of whoever asks */
type Case = { name: string; request: (ids: Ids, own: Ids) => { path: string; body?: object } };

const BODY = { model: 'otter', metadata: { 'scripted.tokens': '3', 'scripted.first_token_ms': '0' } };

function reference(id: string): object {
  return { type: 'item_reference', id };
}

/** The ways in which a request can build on what was said before. */
function builtOn(path: string, body: object): Case[] {
  const items = (name: string, idOf: (ids: Ids) => string): Case => ({
    name: `a reference to ${name}`,
    request: (ids) => ({ path, body: { ...body, input: [{ role: 'user', content: 'x' }, reference(idOf(ids))] } }),
  });
  return [
    {
      name: 'previous_response_id',
      request: ({ response }) => ({ path, body: { ...body, input: 'x', previous_response_id: response } }),
    },
    items('an input item', ({ inputItem }) => inputItem),
    items('an output item', ({ outputItem }) => outputItem),
    items('an item of a conversation', ({ conversationItem }) => conversationItem),
  ];
}

function overConversation(path: string, body: object): Case {
  return {
    name: 'conversation',
    request: ({ conversation }) => ({ path, body: { ...body, input: 'x', conversation } }),
  };
}

/** Cursors among what the asker has itself. */
function cursors(names: readonly string[], pathOf: (own: Ids) => string, idsOf: Record<string, (ids: Ids) => string>) {
  return names.flatMap((cursor) =>
    Object.entries(idsOf).map(([what, idOf]): Case => ({
      name: `${what} as ${cursor}`,
      request: (ids, own) => ({ path: `${pathOf(own)}?${cursor}=${idOf(ids)}` }),
    })),
  );
}

function at(name: string, pathOf: (ids: Ids, own: Ids) => string, body?: object): Case {
  return { name, request: (ids, own) => ({ path: pathOf(ids, own), ...(body !== undefined && { body }) }) };
}

const responseAt = ({ response }: Ids): string => `/v1/responses/${response}`;
const conversationAt = ({ conversation }: Ids): string => `/v1/conversations/${conversation}`;
const endpointAt = ({ endpoint }: Ids): string => `/v1/webhook_endpoints/${endpoint}`;

/** By the id of the operation. Empty: it takes no id. */
const CASES: Record<string, Case[]> = {
  createResponse: [
    ...builtOn('/v1/responses', BODY),
    ...builtOn('/v1/responses', { ...BODY, background: true }),
    overConversation('/v1/responses', BODY),
    overConversation('/v1/responses', { ...BODY, background: true, stream: true }),
  ],
  retrieveResponse: [
    at('id', responseAt),
    at('id, as a stream', (ids) => `${responseAt(ids)}?stream=true`),
    at('id, from a cursor', (ids) => `${responseAt(ids)}?stream=true&starting_after=1`),
    at('id, waiting', (ids) => `${responseAt(ids)}?wait=1`),
  ],
  deleteResponse: [at('id', responseAt)],
  cancelResponse: [at('id', (ids) => `${responseAt(ids)}/cancel`, {})],
  listInputItems: [
    at('id', (ids) => `${responseAt(ids)}/input_items`),
    ...cursors(['after', 'before'], (own) => `${responseAt(own)}/input_items`, {
      'an input item': ({ inputItem }) => inputItem,
    }),
  ],
  countInputTokens: [
    ...builtOn('/v1/responses/input_tokens', { model: 'otter' }),
    overConversation('/v1/responses/input_tokens', { model: 'otter' }),
  ],
  compact: builtOn('/v1/responses/compact', { model: 'relay' }),
  createConversation: [
    {
      name: 'a reference to an output item',
      request: ({ outputItem }) => ({ path: '/v1/conversations', body: { items: [reference(outputItem)] } }),
    },
  ],
  retrieveConversation: [at('id', conversationAt)],
  updateConversation: [at('id', conversationAt, { metadata: { seen: 'by another' } })],
  deleteConversation: [at('id', conversationAt)],
  addConversationItems: [
    at('id', (ids) => `${conversationAt(ids)}/items`, { items: [{ role: 'user', content: 'x' }] }),
    {
      name: 'a reference to an output item',
      request: ({ outputItem }, own) => ({
        path: `${conversationAt(own)}/items`,
        body: { items: [reference(outputItem)] },
      }),
    },
  ],
  listConversationItems: [
    at('id', (ids) => `${conversationAt(ids)}/items`),
    ...cursors(['after', 'before'], (own) => `${conversationAt(own)}/items`, {
      'an item': ({ conversationItem }) => conversationItem,
    }),
  ],
  retrieveConversationItem: [
    at('ids', (ids) => `${conversationAt(ids)}/items/${ids.conversationItem}`),
    at('an item in an own one', (ids, own) => `${conversationAt(own)}/items/${ids.conversationItem}`),
  ],
  deleteConversationItem: [
    at('ids', (ids) => `${conversationAt(ids)}/items/${ids.conversationItem}`),
    at('an item in an own one', (ids, own) => `${conversationAt(own)}/items/${ids.conversationItem}`),
  ],
  listWebhookEventTypes: [],
  createWebhookEndpoint: [],
  listWebhookEndpoints: cursors(['after'], () => '/v1/webhook_endpoints', {
    'an endpoint': ({ endpoint }) => endpoint,
  }),
  retrieveWebhookEndpoint: [at('id', endpointAt)],
  updateWebhookEndpoint: [at('id', endpointAt, { name: 'by another' })],
  deleteWebhookEndpoint: [at('id', endpointAt)],
  rotateWebhookSecret: [at('id', (ids) => `${endpointAt(ids)}/rotate_secret`, {})],
  testWebhookEndpoint: [at('id', (ids) => `${endpointAt(ids)}/test`, { event_type: 'response.completed' })],
  listWebhookDeliveries: [
    at('id', (ids) => `${endpointAt(ids)}/deliveries`),
    ...cursors(['after'], (own) => `${endpointAt(own)}/deliveries`, { 'a delivery': ({ delivery }) => delivery }),
  ],
  redeliverWebhook: [
    at('ids', (ids) => `${endpointAt(ids)}/deliveries/${ids.delivery}/redeliver`, {}),
    at('a delivery at an own one', (ids, own) => `${endpointAt(own)}/deliveries/${ids.delivery}/redeliver`, {}),
  ],
  listModels: [],
  retrieveModel: [],
  readMetrics: [],
};

const KEYED = OPERATIONS.filter((operation) => operation.public !== true);

let holt: TestHolt;
let receiver: Receiver;
/** Of every model but otter. */
let upstream: Upstream;
let owner: Team;
let stranger: Team;
before(async () => {
  receiver = await Receiver.start();
  upstream = await startUpstream();
  holt = await startHolt({
    env: { HOLT_ADMIN_KEY: ADMIN_KEY },
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      LOCAL.configure?.(config);
      config.providers['otter'] = { kind: 'scripted' };
      config.models['otter'] = { provider: 'otter' };
    },
  });
  [owner, stranger] = [await makeTeam(holt), await makeTeam(holt)];
});
after(async () => {
  await holt.stop();
  await receiver[Symbol.asyncDispose]();
  await upstream.stop();
});

function ask(team: Team, method: string, path: string, body?: object): Promise<Answer> {
  const { headers } = team;
  return call(method, holt.url + path, body === undefined ? { headers } : { ...jsonRequest(body, headers), method });
}

async function askFor<T>(team: Team, method: string, path: string, body?: object): Promise<T> {
  const answer = await ask(team, method, path, body);
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text) as T; // what the caller says it is
}

type Identified = { id: string };
type List = { data: Identified[] };

/** One of everything. */
async function furnish(team: Team): Promise<Ids> {
  const endpoint = await askFor<Identified>(team, 'POST', '/v1/webhook_endpoints', {
    name: 'mine',
    url: receiver.url(`/${team.id}`),
    event_types: ['response.completed'],
  });
  const conversation = await askFor<Identified>(team, 'POST', '/v1/conversations', {
    items: [{ role: 'user', content: 'hello' }],
  });
  const said = await askFor<List>(team, 'GET', `/v1/conversations/${conversation.id}/items`);
  const body = otter({ tokens: 3 }, { background: true, stream: true });
  const stream = await ask(team, 'POST', '/v1/responses', body);
  const response = { id: /"id":"(resp_\w+)"/.exec(stream.text)?.[1] ?? assert.fail(stream.text) };
  const ended = await askFor<{ status: string; output: Identified[] }>(team, 'GET', `/v1/responses/${response.id}`);
  assert.equal(ended.status, 'completed');
  const asked = await askFor<List>(team, 'GET', `/v1/responses/${response.id}/input_items`);
  const deliveries = await askFor<List>(team, 'GET', `/v1/webhook_endpoints/${endpoint.id}/deliveries`);
  const first = (list: readonly Identified[]): string => list[0]?.id ?? assert.fail('there is none');
  return {
    response: response.id,
    inputItem: first(asked.data),
    outputItem: first(ended.output),
    conversation: conversation.id,
    conversationItem: first(said.data),
    endpoint: endpoint.id,
    delivery: first(deliveries.data),
  };
}

/** Ids as like them as can be, which nobody ever had. */
function neverThere(ids: Ids): Ids {
  const another = (id: string): string =>
    id.replace(/[0-9a-f]{12}$/, (hex) => (hex === 'f'.repeat(12) ? '0' : 'f').repeat(12));
  return Object.fromEntries(Object.entries(ids).map(([kind, id]) => [kind, another(id)])) as Ids; // of the same keys
}

const CHANGING = new Set(['x-request-id', 'openai-processing-ms', 'date']);

/** All that a client could tell two answers apart by, but for the ids that it sent itself. */
function lookOf({ status, headers, text }: Answer, ids: Ids): { status: number; headers: string[]; text: string } {
  return {
    status,
    headers: [...headers].filter(([name]) => !CHANGING.has(name)).map(([name, value]) => `${name}: ${value}`),
    text: Object.entries(ids).reduce((said, [kind, id]) => said.replaceAll(id, kind), text),
  };
}

/** What somebody else could have changed. */
async function stateOf(team: Team, ids: Ids): Promise<string[]> {
  const paths = [
    responseAt(ids),
    `${responseAt(ids)}/input_items`,
    conversationAt(ids),
    `${conversationAt(ids)}/items`,
    endpointAt(ids),
  ];
  const answers = await Promise.all(paths.map((path) => ask(team, 'GET', path)));
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  const { data } = await askFor<List>(team, 'GET', `${endpointAt(ids)}/deliveries`);
  assert.ok(data.some(({ id }) => id === ids.delivery));
  return answers.map(({ text }) => text);
}

describe('what another project has', () => {
  let theirs: Ids;
  let own: Ids;
  before(async () => {
    [theirs, own] = [await furnish(owner), await furnish(stranger)];
  });

  test('is asked for on every route there is', () => {
    assert.deepEqual(
      Object.keys(CASES).toSorted(),
      KEYED.map(({ id }) => id).toSorted(),
      'a route without cases: say which ids it takes',
    );
    for (const { id, path } of KEYED) {
      const named = path.includes('{') && id !== 'retrieveModel';
      assert.ok(!named || (CASES[id]?.length ?? 0) > 0, `${path} takes an id`);
    }
  });

  for (const { id: operation, method } of KEYED) {
    for (const { name, request } of CASES[operation] ?? []) {
      test(`${operation}: ${name}`, async () => {
        const ghosts = neverThere(theirs);
        const send = (team: Team, ids: Ids, asker: Ids, verb: string = method): Promise<Answer> => {
          const { path, body } = request(ids, asker);
          return ask(team, verb.toUpperCase(), path, body);
        };
        const before = await stateOf(owner, theirs);
        const real = await send(stranger, theirs, own);
        assert.deepEqual(lookOf(real, theirs), lookOf(await send(stranger, ghosts, own), ghosts));
        if (method === 'get') {
          const [head, ghost] = [await send(stranger, theirs, own, 'head'), await send(stranger, ghosts, own, 'head')];
          assert.deepEqual(lookOf(head, theirs), lookOf(ghost, ghosts));
          assert.equal(head.status, real.status);
        }
        assert.ok(real.status === 404 || real.status === 400, `${real.status}: ${real.text}`);
        assert.deepEqual(await stateOf(owner, theirs), before, 'nothing of it was changed');
        const granted = await send(owner, theirs, theirs);
        assert.equal(granted.status, 200, `to whom it belongs it is there: ${granted.text}`);
        if (method === 'delete') theirs = await furnish(owner);
      });
    }
  }

  test('is in no list', async () => {
    const lists = ['/v1/webhook_endpoints', `${conversationAt(own)}/items`, `${responseAt(own)}/input_items`];
    for (const path of lists) {
      const { data } = await askFor<List>(stranger, 'GET', `${path}?limit=100`);
      assert.ok(data.length > 0);
      for (const { id } of data) assert.ok(!Object.values(theirs).includes(id), `${path}: ${id}`);
    }
    assert.equal(receiver.at(`/${stranger.id}`).length, 1, 'and none of its ends was told');
  });

  test('is as unreadable as any other text where it is sealed', async () => {
    const compacted = await askFor<{ output: { type: string; encrypted_content?: string }[] }>(
      owner,
      'POST',
      '/v1/responses/compact',
      { model: 'relay', input: 'a long story' },
    );
    const sealed = compacted.output.find(({ type }) => type === 'compaction')?.encrypted_content ?? '';
    assert.notEqual(sealed, '');
    const send = (team: Team, encrypted_content: string): Promise<Answer> =>
      ask(team, 'POST', '/v1/responses', { ...BODY, input: [{ type: 'compaction', encrypted_content }] });
    const foreign = await send(stranger, sealed);
    const nonsense = await send(stranger, sealed.replace(/.{8}$/, 'AAAAAAAA'));
    assert.equal(foreign.status, 400);
    assert.deepEqual(lookOf(foreign, theirs), lookOf(nonsense, theirs));
    assert.equal((await send(owner, sealed)).status, 200);
  });
});
