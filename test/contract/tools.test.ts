import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import type OpenAI from 'openai';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Step } from '../support/upstream.ts';
import {
  assertError,
  assertWholeStream,
  create,
  EventReader,
  idIn,
  otter,
  pollUntil,
  post,
  responseOf,
} from './wire.ts';
import { responseIn, streamUrl } from './wire.ts';

/** Tools and contents, from the official client to what the upstream got and back. */

const upstream = await startUpstream();
const flags = ['--upstream', upstream.url];
const holt = await startHolt({ flags });
const lenient = await startHolt({ flags: [...flags, '--compat', 'lenient'] });
const native = await startHolt({
  flags,
  configure: (config) => {
    const { upstream: provider } = config.providers;
    if (provider?.kind === 'chat') provider.dialect = 'openai';
  },
});
const demo = await startHolt();
after(async () => {
  await Promise.all([holt, lenient, native, demo].map((one) => one.stop()));
  await upstream.stop();
});

type Tools = OpenAI.Responses.Tool[];

const SQL: OpenAI.Responses.CustomTool = { type: 'custom', name: 'sql', description: 'Runs SQL.' };
const GRAMMAR: OpenAI.Responses.CustomTool = {
  type: 'custom',
  name: 'sum',
  format: { type: 'grammar', syntax: 'lark', definition: 'start: NUMBER' },
};
const LOOK: OpenAI.Responses.FunctionTool = { type: 'function', name: 'look', parameters: {}, strict: false };

const finish: Step[] = [{ finish: 'tool_calls' }, { done: true }];
const text = (content: string): Step => ({ delta: { content } });
const said: Step[] = [text('Done.'), { finish: 'stop' }, { done: true }];
/** A function call, its arguments in pieces. */
const calling = (index: number, id: string, name: string, ...pieces: string[]): Step[] => [
  { delta: { tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] } },
  ...pieces.map((piece): Step => ({ delta: { tool_calls: [{ index, function: { arguments: piece } }] } })),
];

async function sent(model: string, n = 1): Promise<Record<string, unknown>> {
  return (await upstream.waitForRequest(model, n)).body;
}

function customCall(response: OpenAI.Responses.Response): OpenAI.Responses.ResponseCustomToolCall {
  const call = response.output.find((item) => item.type === 'custom_tool_call');
  assert.ok(call !== undefined, JSON.stringify(response.output));
  return call;
}

// ---------------------------------------------------------------- custom tools

describe('a custom tool', () => {
  const model = 'wrapped';
  const steps = [
    ...calling(0, 'call_1', 'sql', '{"inp', 'ut":"SELECT \\"', 'a\\', 'n\\ud83e', '\\udda6', '"}'),
    ...finish,
  ];

  test('is a function to a generic server, and the input comes back as the model wrote it', async () => {
    await upstream.script(model, steps);
    const stream = holt.client.responses.stream({ model, input: 'Go', tools: [SQL], tool_choice: SQL });
    const deltas: string[] = [];
    for await (const event of stream) {
      if (event.type === 'response.custom_tool_call_input.delta') deltas.push(event.delta);
    }
    assert.deepEqual(deltas, ['SELECT "', 'a', '\n', '🦦']);
    const call = customCall(await stream.finalResponse());
    assert.match(call.id ?? '', /^ctc_/);
    assert.deepEqual([call.call_id, call.name, call.input], ['call_1', 'sql', 'SELECT "a\n🦦']);
    const body = await sent(model);
    assert.deepEqual(body['tools'], [
      {
        type: 'function',
        function: {
          name: 'sql',
          description: 'Runs SQL.',
          parameters: {
            type: 'object',
            properties: { input: { type: 'string', description: 'The input of the tool, as plain text.' } },
            required: ['input'],
            additionalProperties: false,
          },
        },
      },
    ]);
    assert.deepEqual(body['tool_choice'], { type: 'function', function: { name: 'sql' } });
  });

  test('goes around: the call and its output go back as they came', async () => {
    await upstream.script('around', steps);
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'Go' }];
    const first = await holt.client.responses.create({ model: 'around', input, tools: [SQL] });
    const call = customCall(first);
    await upstream.script('around', said);
    const output: OpenAI.Responses.ResponseCustomToolCallOutput = {
      type: 'custom_tool_call_output',
      call_id: call.call_id,
      output: [
        { type: 'input_text', text: 'one row' },
        { type: 'input_image', image_url: 'https://a.test/b.png', detail: 'low' },
      ],
    };
    const second = await holt.client.responses.create({
      model: 'around',
      input: [...input, call, output],
      tools: [SQL],
    });
    assert.equal(second.output_text, 'Done.');
    assert.deepEqual((await sent('around', 2))['messages'], [
      { role: 'user', content: 'Go' },
      {
        role: 'assistant',
        content: '',
        tool_calls: [
          {
            id: 'call_1',
            type: 'function',
            function: { name: 'sql', arguments: JSON.stringify({ input: call.input }) },
          },
        ],
      },
      { role: 'tool', tool_call_id: 'call_1', content: 'one row' },
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://a.test/b.png', detail: 'low' } }] },
    ]);
    const chained = await holt.client.responses.create({
      model: 'around',
      previous_response_id: first.id,
      input: [{ ...output, output: 'no rows' }],
      tools: [SQL],
    });
    assert.equal(chained.output_text, 'Done.');
    const messages = (await sent('around', 3))['messages'] as object[];
    assert.deepEqual(messages.at(-1), { role: 'tool', tool_call_id: 'call_1', content: 'no rows' });
    const { data } = await holt.client.responses.inputItems.list(second.id, { order: 'asc' });
    assert.deepEqual(
      data.map(({ type }) => type),
      ['message', 'custom_tool_call', 'custom_tool_call_output'],
    );
  });

  test('is one to OpenAI, with its grammar', async () => {
    await upstream.script('native', [
      { delta: { tool_calls: [{ index: 0, id: 'call_1', type: 'custom', custom: { name: 'sum', input: '' } }] } },
      { delta: { tool_calls: [{ index: 0, custom: { input: '{"input":' } }] } },
      { delta: { tool_calls: [{ index: 0, custom: { input: '1' } }] } },
      ...finish,
    ]);
    const tools: Tools = [SQL, GRAMMAR];
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'Go' }];
    const first = await native.client.responses.create({ model: 'native', input, tools, tool_choice: GRAMMAR });
    const call = customCall(first);
    assert.equal(call.input, '{"input":1', 'what comes as the input of a custom tool is not unwrapped');
    const body = await sent('native');
    assert.deepEqual(body['tools'], [
      { type: 'custom', custom: { name: 'sql', description: 'Runs SQL.' } },
      {
        type: 'custom',
        custom: {
          name: 'sum',
          format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'start: NUMBER' } },
        },
      },
    ]);
    assert.deepEqual(body['tool_choice'], { type: 'custom', custom: { name: 'sum' } });
    await upstream.script('native', said);
    const output = { type: 'custom_tool_call_output' as const, call_id: 'call_1', output: '1' };
    await native.client.responses.create({ model: 'native', input: [...input, call, output], tools });
    assert.deepEqual(((await sent('native', 2))['messages'] as object[]).slice(1), [
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'call_1', type: 'custom', custom: { name: 'sum', input: '{"input":1' } }],
      },
      { role: 'tool', tool_call_id: 'call_1', content: '1' },
    ]);
  });

  test('in the background: the events are whole, and the same again when they are read later', async () => {
    await upstream.script('durable', [
      ...calling(0, 'call_1', 'sql', '{"input":"a', 'b"}'),
      ...calling(1, 'call_2', 'look', '{}'),
      ...calling(2, 'call_3', 'sql', 'no JSON', ' at all'),
      ...finish,
    ]);
    const body = { model: 'durable', input: 'Go', tools: [SQL, LOOK], background: true };
    const live = await (await EventReader.create(holt, body)).rest();
    assertWholeStream(live);
    const { output } = responseOf(live.at(-1));
    assert.deepEqual(
      output.map((item) => (item.type === 'custom_tool_call' ? item.input : item.type)),
      ['ab', 'function_call', 'no JSON at all'],
    );
    const later = await (await EventReader.open(streamUrl(holt, idIn(live[0])))).rest();
    assert.deepEqual(
      later.map((frame) => frame.text),
      live.map((frame) => frame.text),
    );
    assert.deepEqual((await pollUntil(holt, idIn(live[0]))).output, output);
  });

  test('may be called in parallel, piece by piece in turns', async () => {
    const piece = (index: number, custom: object): Step => ({ delta: { tool_calls: [{ index, custom }] } });
    await upstream.script('turns', [
      { delta: { tool_calls: [{ index: 0, id: 'a', type: 'custom', custom: { name: 'sql' } }] } },
      { delta: { tool_calls: [{ index: 1, id: 'b', type: 'custom', custom: { name: 'sql' } }] } },
      piece(0, { input: '{"input":' }),
      piece(1, { input: 'x' }),
      piece(0, { input: '"y"}' }),
      ...finish,
    ]);
    const frames = await (await EventReader.create(native, { model: 'turns', input: 'Go', tools: [SQL] })).rest();
    assertWholeStream(frames);
    assert.deepEqual(
      responseOf(frames.at(-1)).output.map((item) => (item.type === 'custom_tool_call' ? item.input : item.type)),
      ['{"input":"y"}', 'x'],
    );
  });

  test('that is cut off stays as far as it came', async () => {
    await upstream.script('cut', [...calling(0, 'call_1', 'sql', '{"input":"SEL', '\\u00'), { finish: 'length' }]);
    const response = await create(holt, { model: 'cut', input: 'Go', tools: [SQL] });
    const call = customCall(response);
    assert.deepEqual([response.status, call.input], ['incomplete', 'SEL']);
    assert.equal((call as { status?: string }).status, 'incomplete');
  });

  test('with a grammar is refused where nothing enforces it, or told to the model by a lenient one', async () => {
    const body = { model: 'grammar', input: 'Go', tools: [LOOK, GRAMMAR] };
    assertError(await post(holt, body), 400, { param: 'tools[1].format', code: 'unsupported_value' });
    const answer = await post(lenient, body);
    assert.equal(answer.headers.get('holt-dropped'), 'tools[1].format=grammar');
    responseIn(answer);
    const [, tool] = (await sent('grammar'))['tools'] as { function: { description: string } }[];
    assert.match(tool!.function.description, /lark grammar:\nstart: NUMBER$/);
  });

  test('wants its output, and an output its call', async () => {
    const call = { type: 'custom_tool_call', call_id: 'c', name: 'sql', input: '' };
    const output = { type: 'custom_tool_call_output', call_id: 'c', output: '' };
    const message = /custom tool call/;
    assertError(await post(holt, { model: 'm', input: [call] }), 400, { param: 'input', message });
    assertError(await post(holt, { model: 'm', input: [output] }), 400, { param: 'input', message });
    const other = { type: 'function_call_output', call_id: 'c', output: '' };
    assertError(await post(holt, { model: 'm', input: [call, other] }), 400, { param: 'input' });
  });

  test('is called by the demonstration model like a function', async () => {
    const body = otter({ tool_call: 'sql' }, { tools: [SQL], tool_choice: { type: 'custom', name: 'sql' } });
    const frames = await (await EventReader.create(demo, body)).rest();
    assertWholeStream(frames);
    const call = customCall(responseOf(frames.at(-1)));
    assert.equal(call.name, 'sql');
    assert.notEqual(call.input, '');
    const output = { type: 'custom_tool_call_output', call_id: call.call_id, output: 'seen' };
    const input = [{ role: 'user', content: 'Go' }, call, output];
    const next = await create(demo, otter({ tool_call: 'sql' }, { input, tools: [SQL] }));
    assert.equal(next.output[0]?.type, 'message');
    assertError(await post(demo, otter({ tool_call: 'sum' }, { tools: [GRAMMAR] })), 400, { param: 'tools[0].format' });
  });
});

// ---------------------------------------------------------------- namespaces

const CRM: OpenAI.Responses.NamespaceTool = {
  type: 'namespace',
  name: 'crm',
  description: 'About customers.',
  tools: [
    { type: 'function', name: 'find', description: 'Finds one.' },
    { type: 'custom', name: 'note' },
  ],
};

test('tools in a namespace are called by it, there and back', async () => {
  await upstream.script('spaces', [
    ...calling(0, 'call_1', 'crm__find', '{}'),
    ...calling(1, 'call_2', 'crm__note', '{"input":"x"}'),
    ...finish,
  ]);
  const tools: Tools = [CRM, { ...LOOK, name: 'find' }];
  const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'Go' }];
  const response = await holt.client.responses.create({ model: 'spaces', input, tools });
  const calls = response.output.flatMap((item) =>
    item.type === 'function_call' || item.type === 'custom_tool_call' ? [item] : [],
  );
  assert.deepEqual(
    calls.map(({ type, namespace, name }) => [type, namespace, name]),
    [
      ['function_call', 'crm', 'find'],
      ['custom_tool_call', 'crm', 'note'],
    ],
  );
  const named = (name: string, description?: string) => ({ name, ...(description !== undefined && { description }) });
  const offered = (await sent('spaces'))['tools'] as { function: { name: string; description?: string } }[];
  assert.deepEqual(
    offered.map(({ function: { name, description } }) => named(name, description)),
    [named('crm__find', 'About customers.\n\nFinds one.'), named('crm__note'), named('find')],
  );
  await upstream.script('spaces', said);
  const outputs = calls.map(({ type, call_id }) => ({ type: `${type}_output`, call_id, output: 'ok' }));
  await create(holt, { model: 'spaces', input: [...input, ...calls, ...outputs], tools, tool_choice: 'none' });
  const again = (await sent('spaces', 2))['messages'] as { tool_calls?: { function: { name: string } }[] }[];
  assert.deepEqual(
    again[1]!.tool_calls!.map(({ function: { name } }) => name),
    ['crm__find', 'crm__note'],
  );
});

test('a name is taken only once, namespaces included, and not longer than chat servers allow', async () => {
  const twice = { model: 'm', input: 'x', tools: [{ ...LOOK, name: 'crm__find' }, CRM] };
  assertError(await post(holt, twice), 400, { param: 'tools[1].tools[0].name', code: 'invalid_value' });
  const long = { ...CRM, name: 'n'.repeat(60) };
  assertError(await post(holt, { model: 'm', input: 'x', tools: [long] }), 400, { param: 'tools[0].tools[0].name' });
});

// ---------------------------------------------------------------- choices

describe('a tool choice', () => {
  const tools = [LOOK, SQL, CRM];
  const choose = async (served: TestHolt, tool_choice: unknown): Promise<{ choice: unknown; names: string[] }> => {
    const model = `choice ${JSON.stringify(tool_choice)} ${served.url}`;
    const response = await create(served, { model, input: 'Go', tools, tool_choice });
    assert.deepEqual(response.tool_choice, tool_choice);
    const body = await sent(model);
    const offered = body['tools'] as { function?: { name: string }; custom?: { name: string } }[];
    return {
      choice: body['tool_choice'],
      names: offered.map((tool) => tool.function?.name ?? tool.custom?.name ?? ''),
    };
  };
  const all = ['look', 'sql', 'crm__find', 'crm__note'];
  const fn = (name: string) => ({ type: 'function', function: { name } });

  test('by a word is sent as that word', async () => {
    for (const word of ['none', 'auto', 'required']) {
      assert.deepEqual(await choose(holt, word), { choice: word, names: all });
    }
  });

  test('by name finds functions, custom tools and those of a namespace', async () => {
    assert.deepEqual((await choose(holt, { type: 'function', name: 'look' })).choice, fn('look'));
    assert.deepEqual((await choose(holt, { type: 'custom', name: 'sql' })).choice, fn('sql'));
    assert.deepEqual((await choose(holt, { type: 'function', name: 'find' })).choice, fn('crm__find'));
    assert.deepEqual((await choose(native, { type: 'custom', name: 'sql' })).choice, {
      type: 'custom',
      custom: { name: 'sql' },
    });
  });

  test('by a list offers no others', async () => {
    const allowed = {
      type: 'allowed_tools',
      mode: 'required',
      tools: [
        { type: 'custom', name: 'sql' },
        { type: 'function', name: 'look' },
      ],
    };
    assert.deepEqual(await choose(holt, allowed), { choice: 'required', names: ['look', 'sql'] });
    assert.deepEqual(await choose(native, allowed), {
      choice: {
        type: 'allowed_tools',
        allowed_tools: { mode: 'required', tools: [{ type: 'custom', custom: { name: 'sql' } }, fn('look')] },
      },
      names: all,
    });
  });

  const refused: [title: string, choice: unknown, param: string][] = [
    ['an unknown function', { type: 'function', name: 'nobody' }, 'tool_choice'],
    ['a custom tool by the name of a function', { type: 'custom', name: 'look' }, 'tool_choice'],
    [
      'an unknown name in a list',
      { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'x' }] },
      'tool_choice',
    ],
    ['a hosted tool', { type: 'web_search_preview' }, 'tool_choice.type'],
    ['a tool of an MCP server', { type: 'mcp', server_label: 'x' }, 'tool_choice.type'],
    [
      'a hosted tool in a list',
      { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'image_generation' }] },
      'tool_choice.tools[0].type',
    ],
  ];
  for (const [title, tool_choice, param] of refused) {
    test(`of ${title} is refused`, async () => {
      assertError(await post(holt, { model: 'm', input: 'x', tools, tool_choice }), 400, { param });
    });
  }
});

// ---------------------------------------------------------------- lenient models

const HOSTED = [
  'computer_use_preview',
  'computer',
  'shell',
  'local_shell',
  'apply_patch',
  'image_generation',
  'file_search',
  'code_interpreter',
  'mcp',
  'web_search',
  'web_search_preview',
  'tool_search',
  'programmatic_tool_calling',
  'tomorrows_tool',
];

describe('what is not served', () => {
  test('is a 400 by name on a strict model, every type of tool', async () => {
    for (const type of HOSTED) {
      const answer = await post(holt, { model: 'm', input: 'x', tools: [LOOK, { type }] });
      assertError(answer, 400, { param: 'tools[1].type', code: 'unsupported_value' });
      assert.equal(answer.headers.get('holt-dropped'), null);
    }
  });

  test('is left out and named by a lenient one, which otherwise does what it was asked', async () => {
    const tools = [
      { type: 'web_search' },
      LOOK,
      { type: 'mcp', server_label: 'x' },
      SQL,
      { ...LOOK, name: 'late', defer_loading: true },
    ];
    const body = {
      model: 'lenient',
      input: 'Go',
      tools,
      tool_choice: {
        type: 'allowed_tools',
        mode: 'auto',
        tools: [{ type: 'web_search' }, { type: 'custom', name: 'sql' }],
      },
      text: { verbosity: 'low' },
      moderation: { model: 'x' },
    };
    const names =
      'moderation, tools[0].type=web_search, tools[2].type=mcp, tools[4].defer_loading=true, ' +
      'tool_choice.tools[0].type=web_search, text.verbosity=low';
    for (const over of [{}, { stream: true }, { background: true }, { background: true, stream: true }]) {
      const answer = await post(lenient, { ...body, ...over });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.headers.get('holt-dropped'), names);
    }
    const response = responseIn(await post(lenient, body));
    assert.deepEqual(
      response.tools.map((tool) => ('name' in tool ? tool.name : tool.type)),
      ['look', 'sql', 'late'],
    );
    assert.equal(response.text?.verbosity, 'medium');
    assert.deepEqual(response.tool_choice, { ...body.tool_choice, tools: [{ type: 'custom', name: 'sql' }] });
    const request = await sent('lenient');
    assert.deepEqual(
      (request['tools'] as { function: { name: string } }[]).map((tool) => tool.function.name),
      ['sql'],
    );
    assert.equal('moderation' in request || 'verbosity' in request, false);
  });

  test('is still refused by a lenient one where the answer would be another', async () => {
    const input = [{ type: 'computer_call', id: 'x', call_id: 'c' }];
    assertError(await post(lenient, { model: 'm', input }), 400, { param: 'input[0].type' });
    for (const tool_choice of ['required', { type: 'web_search' }]) {
      const body = { model: 'm', input: 'x', tools: [{ type: 'web_search' }], tool_choice };
      assertError(await post(lenient, body), 400);
    }
    assertError(await post(lenient, { model: 'm', input: 'x', prompt: { id: 'p' } }), 400, { param: 'prompt' });
  });

  test('is not counted either', async () => {
    const count = async (served: TestHolt, tools: unknown[]) =>
      post(served, { model: 'm', input: 'x', tools }, {}, 'responses/input_tokens');
    const answer = await count(lenient, [{ type: 'web_search' }, LOOK]);
    assert.equal(answer.headers.get('holt-dropped'), 'tools[0].type=web_search');
    assert.deepEqual(JSON.parse(answer.text), JSON.parse((await count(lenient, [LOOK])).text));
    assertError(await count(holt, [{ type: 'web_search' }]), 400, { param: 'tools[0].type' });
  });

  test('is named in plain characters and at bounded length', async () => {
    const odd = await post(lenient, { model: 'm', input: 'x', tools: [{ type: 'a\r\nb: ü,' }] });
    assert.equal(odd.headers.get('holt-dropped'), 'tools[0].type=a__b____');
    const many = await post(lenient, {
      model: 'm',
      input: 'x',
      tools: Array.from({ length: 5_000 }, () => ({ type: 'web_search' })),
    });
    const list = many.headers.get('holt-dropped') ?? '';
    assert.ok(list.length < 5_000, `${list.length}`);
    assert.match(list, /, and \d+ more$/);
  });

  test('costs no more than the request does, however much of it there is', async () => {
    const tools = Array.from({ length: 5_000 }, (_, index) => ({ type: 'function', name: `f${index}` }));
    const unknown = tools.map(() => ({ type: 'web_search' }));
    const tool_choice = { type: 'allowed_tools', mode: 'auto', tools: [...tools, ...unknown] };
    responseIn(await post(lenient, { model: 'many', input: 'x', tools, tool_choice }));
    assert.equal(((await sent('many'))['tools'] as unknown[]).length, tools.length);
  });

  test('is nothing to name when everything is served', async () => {
    const answer = await post(lenient, { model: 'm', input: 'x', tools: [LOOK] });
    assert.equal(answer.headers.get('holt-dropped'), null);
    responseIn(answer);
  });
});

// ---------------------------------------------------------------- contents

const PNG = 'data:image/png;base64,iVBORw0KGgo=';
const PDF = 'data:application/pdf;base64,JVBERi0=';
const NOTES = { type: 'input_file', filename: 'notes.md', file_data: `data:text/markdown;base64,${btoa('# Hi')}` };
const JSON_FILE = { type: 'input_file', filename: 'a.json', file_data: 'data:application/json,%7B%22a%22%3A1%7D' };
const AUDIO = { type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } };

describe('contents', () => {
  const user = (...content: unknown[]) => [{ role: 'user', content }];
  const contentSent = async (served: TestHolt, model: string, ...content: unknown[]): Promise<unknown> => {
    await create(served, { model, input: user(...content) });
    return ((await sent(model))['messages'] as { content: unknown }[])[0]?.content;
  };

  test('text files are texts to a generic server, and pictures are pictures', async () => {
    assert.equal(
      await contentSent(holt, 'texts', { type: 'input_text', text: 'Read' }, NOTES, JSON_FILE),
      'Read\nFile notes.md:\n# Hi\nFile a.json:\n{"a":1}',
    );
    const picture = { type: 'input_file', filename: 'a.png', file_data: PNG, detail: 'high' };
    assert.deepEqual(await contentSent(holt, 'pictures', NOTES, picture), [
      { type: 'text', text: 'File notes.md:\n# Hi' },
      { type: 'image_url', image_url: { url: PNG, detail: 'high' } },
    ]);
  });

  test('files and audio go to OpenAI as they are', async () => {
    const pdf = { type: 'input_file', filename: 'a.pdf', file_data: PDF };
    assert.deepEqual(await contentSent(native, 'files', pdf, NOTES, AUDIO), [
      { type: 'file', file: { filename: 'a.pdf', file_data: PDF } },
      { type: 'file', file: { filename: 'notes.md', file_data: NOTES.file_data } },
      { type: 'input_audio', input_audio: AUDIO.input_audio },
    ]);
  });

  test('what a tool gave back may hold files and images', async () => {
    const output = [{ type: 'input_text', text: 'Here' }, NOTES, { type: 'input_image', image_url: PNG }];
    const input = [
      { type: 'function_call', call_id: 'c', name: 'look', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output },
    ];
    const picture = { type: 'image_url', image_url: { url: PNG } };
    await create(holt, { model: 'given', input });
    assert.deepEqual(((await sent('given'))['messages'] as object[]).slice(1), [
      { role: 'tool', tool_call_id: 'c', content: 'Here\nFile notes.md:\n# Hi' },
      { role: 'user', content: [picture] },
    ]);
    await create(native, { model: 'given natively', input });
    assert.deepEqual(((await sent('given natively'))['messages'] as object[]).slice(1), [
      { role: 'tool', tool_call_id: 'c', content: 'Here' },
      {
        role: 'user',
        content: [{ type: 'file', file: { filename: 'notes.md', file_data: NOTES.file_data } }, picture],
      },
    ]);
  });

  const file = (fields: object) => ({ type: 'input_file', ...fields });
  const refused: [title: string, served: TestHolt, part: object, param: string, code: string][] = [
    ['a PDF to a generic server', holt, file({ file_data: PDF }), 'file_data', 'unsupported_value'],
    ['a file that is no data URL', holt, file({ file_data: 'AA==' }), 'file_data', 'invalid_value'],
    [
      'a text that is not UTF-8',
      holt,
      file({ file_data: 'data:text/plain;base64,/w==' }),
      'file_data',
      'invalid_value',
    ],
    [
      'a text that is not base64',
      holt,
      file({ file_data: 'data:text/plain;base64,!!!!' }),
      'file_data',
      'invalid_value',
    ],
    ['a file without data', native, file({ filename: 'a' }), 'file_data', 'missing_required_parameter'],
    ['a file by URL', native, file({ file_url: 'https://a.test/' }), 'file_url', 'unsupported_parameter'],
    ['an uploaded file', holt, file({ file_id: 'file-1' }), 'file_id', 'unsupported_parameter'],
    ['a rendering of files', native, file({ file_data: PDF, detail: 'low' }), 'detail', 'unsupported_value'],
    ['audio to a generic server', holt, AUDIO, 'type', 'unsupported_value'],
  ];
  for (const [title, served, part, param, code] of refused) {
    test(`refused: ${title}`, async () => {
      const body = { model: 'm', input: user({ type: 'input_text', text: 'x' }, part) };
      assertError(await post(served, body), 400, { param: `input[0].content[1].${param}`, code });
    });
  }

  test('refused: files in what is not a user’s', async () => {
    const input = [{ role: 'system', content: [NOTES] }];
    assertError(await post(native, { model: 'm', input }), 400, { param: 'input[0].content[0].type' });
  });
});

// ---------------------------------------------------------------- fields

test('tools are echoed with their defaults', async () => {
  const { tools } = await create(holt, {
    model: 'echo',
    input: 'x',
    tools: [SQL, { type: 'custom', name: 'a' }, CRM, LOOK],
  });
  const [, note] = CRM.tools;
  assert.deepEqual(tools, [
    { ...SQL, format: { type: 'text' } },
    { type: 'custom', name: 'a', format: { type: 'text' } },
    {
      ...CRM,
      tools: [
        { type: 'function', name: 'find', description: 'Finds one.', parameters: null, strict: true },
        { ...note, format: { type: 'text' } },
      ],
    },
    { ...LOOK, description: null },
  ]);
});

test('reasoning is echoed as it was asked for', async () => {
  const reasoning = { effort: 'low', generate_summary: 'detailed', context: 'current_turn', mode: 'standard' };
  const response = await create(holt, { model: 'm', input: 'x', reasoning });
  const { effort, context, mode } = reasoning;
  assert.deepEqual(response.reasoning, { effort, summary: 'detailed', context, mode });
});

test('reasoning of all turns goes back when it is asked for, where it can', async () => {
  const thought = { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'Hm' }] };
  const answer = { role: 'assistant', content: 'Yes' };
  const input = [{ role: 'user', content: 'a' }, thought, answer, { role: 'user', content: 'b' }];
  const body = (context: string) => ({ model: `context ${context}`, input, reasoning: { context } });
  await create(holt, body('all_turns'));
  await create(holt, body('auto'));
  const second = async (model: string) => ((await sent(model))['messages'] as object[])[1];
  assert.deepEqual(await second('context all_turns'), { ...answer, reasoning_content: 'Hm' });
  assert.deepEqual(await second('context auto'), answer);
  assertError(await post(native, body('all_turns')), 400, { param: 'reasoning.context', code: 'unsupported_value' });
});

test('the service tier is the one that the upstream used', async () => {
  const chunk = (service_tier: string): Step => ({
    chunk: { service_tier, choices: [{ index: 0, delta: { content: 'x' }, finish_reason: 'stop' }] },
  });
  await upstream.script('tier', [chunk('flex'), { done: true }]);
  const asked = { model: 'tier', input: 'x', service_tier: 'flex' };
  const { id, service_tier } = await create(native, { ...asked, background: true });
  assert.equal(service_tier, 'auto');
  assert.equal((await sent('tier'))['service_tier'], 'flex');
  assert.equal((await pollUntil(native, id)).service_tier, 'flex');
  const generic = await create(holt, { ...asked, model: 'no tiers' });
  assert.equal(generic.service_tier, 'default', 'an upstream without tiers');
  assert.equal((await sent('no tiers'))['service_tier'], undefined);
  await upstream.script('tier', [chunk('on_demand'), { done: true }]);
  assert.equal((await create(holt, { model: 'tier', input: 'x' })).service_tier, 'default');
});

test('hints about the prompt cache are echoed, and go to OpenAI', async () => {
  const hints = { prompt_cache_key: 'k', prompt_cache_retention: '24h', prompt_cache_options: { mode: 'explicit' } };
  const { prompt_cache_key, prompt_cache_retention, ...rest } = await create(native, {
    model: 'cache',
    input: 'x',
    ...hints,
  });
  assert.deepEqual([prompt_cache_key, prompt_cache_retention], ['k', '24h']);
  assert.deepEqual((rest as Record<string, unknown>)['prompt_cache_options'], { ttl: '30m', mode: 'explicit' });
  const request = await sent('cache');
  for (const [key, value] of Object.entries(hints)) assert.deepEqual(request[key], value, key);
  const old = await create(holt, { model: 'm', input: 'x', prompt_cache_retention: 'in-memory' });
  assert.equal(old.prompt_cache_retention, 'in_memory');
});

test('fields of another meaning are refused', async () => {
  const refused: [object, string][] = [
    [{ reasoning: { mode: 'pro' } }, 'reasoning.mode'],
    [{ instructions: [{ role: 'system', content: 'x' }] }, 'instructions'],
    [{ tools: [{ ...LOOK, defer_loading: true }] }, 'tools[0].defer_loading'],
    [{ tools: [{ ...SQL, allowed_callers: ['programmatic'] }] }, 'tools[0].allowed_callers'],
  ];
  for (const [over, param] of refused) {
    assertError(await post(holt, { model: 'm', input: 'x', ...over }), 400, { param });
  }
});
