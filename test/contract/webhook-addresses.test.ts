import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isPublicAddress } from '../../server/src/webhooks/guard.ts';
import type { Lookup } from '../../server/src/webhooks/guard.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import { LOCAL, deliveryUntil, runToEnd, subscribe } from './webhook-endpoint.ts';
import { assertError, otter, post } from './wire.ts';

/** Nothing that only this server can reach can be reached through a webhook. */

const COMPLETES = otter({ tokens: 3 });

let holt: TestHolt;
before(async () => {
  holt = await startHolt();
});
after(() => holt.stop());

describe('an endpoint is refused when it is made', () => {
  const URLS: Record<string, string[]> = {
    'that is not https': ['http://hooks.example/', 'ftp://hooks.example/', 'file:///etc/passwd', 'javascript:alert(1)'],
    'that is no URL': [
      'hooks.example',
      '/hook',
      'https://',
      'https://hooks .example/',
      'https://[::1',
      'https://a:99999/',
    ],
    'with a user name or a password': [
      'https://user@hooks.example/',
      'https://user:pass@hooks.example/',
      'https://:p@hooks.example/',
    ],
    'of this machine': [
      'https://localhost/',
      'https://LOCALHOST:8484/',
      'https://127.0.0.1/',
      'https://127.0.0.1./',
      'https://127.8.9.1/',
      'https://0.0.0.0/',
      'https://[::1]/',
      'https://[::]/',
    ],
    'in another spelling': [
      'https://2130706433/',
      'https://0x7f000001/',
      'https://0177.0.0.1/',
      'https://0x7f.1/',
      'https://127.1/',
      'https://%31%32%37.0.0.1/',
      'https://１２７.0.0.1/',
      'https://017700000001/',
    ],
    'of a private network': [
      'https://10.0.0.1/',
      'https://172.31.255.255/',
      'https://192.168.1.1/',
      'https://100.64.0.1/',
      'https://169.254.169.254/latest/meta-data/',
      'https://[fc00::1]/',
      'https://[fd12:3456::1]/',
      'https://[fe80::1]/',
      'https://[fec0::1]/',
    ],
    'of nobody, or of many': [
      'https://224.0.0.1/',
      'https://255.255.255.255/',
      'https://240.0.0.1/',
      'https://[ff02::1]/',
      'https://192.0.2.1/',
      'https://[2001:db8::1]/',
      'https://198.18.0.1/',
    ],
    'of IPv6 that carries IPv4': [
      'https://[::ffff:127.0.0.1]/',
      'https://[::ffff:a00:1]/',
      'https://[::127.0.0.1]/',
      'https://[64:ff9b::7f00:1]/',
      'https://[64:ff9b::192.168.0.1]/',
      'https://[64:ff9b:1::1]/',
      'https://[2002:7f00:1::]/',
      'https://[::ffff:0:127.0.0.1]/',
      'https://[2001:0:1::1]/',
    ],
  };
  for (const [what, urls] of Object.entries(URLS)) {
    test(what, async () => {
      const { id } = await subscribe(holt, 'https://hooks.example/');
      for (const url of urls) {
        const body = { name: 'n', url, event_types: ['response.completed'] };
        assertError(await post(holt, body, {}, 'webhook_endpoints'), 400, { param: 'url', code: 'invalid_value' });
        assertError(await post(holt, { url }, {}, `webhook_endpoints/${id}`), 400, { param: 'url' });
      }
      assert.equal((await holt.client.webhooks.retrieve(id)).url, 'https://hooks.example/');
    });
  }
});

test('public addresses are public, and their neighbours are not', () => {
  const open = [
    '8.8.8.8',
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.0.1',
    '172.32.0.1',
    '192.169.0.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00:1450::1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '64:ff9b::808:0',
  ];
  const closed = [
    '10.255.255.255',
    '100.127.255.255',
    '172.16.0.0',
    '192.168.255.255',
    '127.255.255.255',
    '224.0.0.0',
    'fe80::1%eth0',
    '::ffff:10.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::',
    '4000::1',
    '2001::1',
    '2002::1',
    'hooks.example',
    '',
  ];
  assert.deepEqual(
    open.filter((address) => !isPublicAddress(address)),
    [],
  );
  assert.deepEqual(closed.filter(isPublicAddress), []);
});

/** Answers each question with the next addresses. */
function names(answers: string[][]): { lookup: Lookup; asked: () => number } {
  let asked = 0;
  return {
    asked: () => asked,
    lookup: (_host, _options, done) => {
      const addresses = answers[Math.min(asked, answers.length - 1)] ?? [];
      asked += 1;
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    },
  };
}

describe('a name is judged by the addresses that are connected to', () => {
  for (const [what, answers] of [
    ['one that means this machine', [['127.0.0.1']]],
    ['one with many addresses, none of them public', [['127.0.0.1', '::1', '::ffff:127.0.0.1', '169.254.169.254']]],
    ['one that meant somebody else a moment ago', [['127.0.0.1'], ['93.184.215.14']]],
  ] as const) {
    test(what, async () => {
      await using receiver = await Receiver.start();
      const { lookup, asked } = names(answers.map((addresses) => [...addresses]));
      await using own = await startHolt({
        configure: (config) => (config.webhooks.allow_http = true),
        overrides: { lookup },
      });
      const endpoint = await subscribe(own, `http://hooks.example:${receiver.port}/`);
      assert.equal(asked(), 0, 'what a name means now says nothing about later');
      await runToEnd(own, COMPLETES);
      const { attempts } = await deliveryUntil(own, endpoint.id, (delivery) => delivery.attempts.length > 0);
      assert.equal(asked(), 1, 'the answer that was judged is the one that is used');
      assert.deepEqual([attempts[0]?.status, attempts[0]?.error], [null, 'hooks.example has no public address']);
      assert.deepEqual(receiver.hits, []);
    });
  }

  test('where private addresses are allowed, they are reached', async () => {
    await using receiver = await Receiver.start();
    await using own = await startHolt({
      configure: (config) => (config.webhooks = { allow_http: true, allow_private: true }),
      overrides: { lookup: names([['127.0.0.1']]).lookup },
    });
    await subscribe(own, `http://hooks.example:${receiver.port}/`);
    await runToEnd(own, COMPLETES);
    const [hit] = await receiver.count(1);
    assert.equal(hit?.headers.host, `hooks.example:${receiver.port}`);
  });

  test('what was allowed when it was made is refused when it no longer is', async () => {
    await using receiver = await Receiver.start();
    const data = await temporaryDirectory();
    const earlier = await startHolt({ ...LOCAL, data });
    const { id } = await subscribe(earlier, receiver.url());
    await earlier.stop();
    await using own = await startHolt({ data, configure: (config) => (config.webhooks.allow_http = true) });
    await runToEnd(own, COMPLETES);
    const { attempts } = await deliveryUntil(own, id, (delivery) => delivery.attempts.length > 0);
    assert.match(attempts[0]?.error ?? '', /not public/);
    assert.deepEqual(receiver.hits, []);
  });
});
