import type { Agent, Step } from './upstream-script.ts';

/**
 * A model whose words show what it was sent: it calls its tool after a user's message, quotes what tools have put out,
 * and otherwise repeats everything that users have said so far.
 */

/** What every answer is said to have cost. */
export const AGENT_USAGE = { prompt_tokens: 30, completion_tokens: 12, total_tokens: 42 };

type Message = { role: string; content?: unknown };
type ChatRequest = {
  messages: Message[];
  tools?: { function: { name: string } }[];
  tool_choice?: unknown;
  response_format?: { type: string };
};

export function agentSteps(agent: Agent, body: Record<string, unknown>): Step[] {
  const request = body as ChatRequest;
  const { call } = agent;
  const last = lastSaid(request)?.role;
  const offered = request.tool_choice !== 'none' && request.tools?.some((tool) => tool.function.name === call?.name);
  const steps =
    call !== undefined && offered === true && last === 'user'
      ? [
          ...(agent.thought === undefined ? [] : [{ delta: { reasoning_content: agent.thought } }]),
          ...callSteps(call.name, JSON.stringify(call.arguments), request.messages.length),
        ]
      : textSteps(textFor(agent, request), agent.gate);
  return [{ delta: { role: 'assistant' } }, ...steps, { chunk: { choices: [], usage: AGENT_USAGE } }, { done: true }];
}

function callSteps(name: string, args: string, place: number): Step[] {
  const delta = (call: object): Step => ({ delta: { tool_calls: [{ index: 0, ...call }] } });
  return [
    delta({ id: `call_${place}`, type: 'function', function: { name, arguments: '' } }),
    ...halves(args).map((piece) => delta({ function: { arguments: piece } })),
    { finish: 'tool_calls' },
  ];
}

function textSteps(text: string, gate: string | undefined): Step[] {
  const [first = '', second = ''] = halves(text);
  const say = (half: string): Step[] => half.split(/(?<= )/).map((word): Step => ({ delta: { content: word } }));
  return [...say(first), ...(gate === undefined ? [] : [{ gate }]), ...say(second), { finish: 'stop' }];
}

function textFor(agent: Agent, request: ChatRequest): string {
  if (agent.json !== undefined && request.response_format?.type === 'json_schema') return JSON.stringify(agent.json);
  const last = lastSaid(request);
  if (last?.role === 'tool') return `The tool said: ${plain(last.content)}`;
  const heard = request.messages.filter(({ role }) => role === 'user').map(({ content }) => plain(content));
  return `I heard: ${heard.join(' / ')}`;
}

/** What a tool has shown comes as a user's message without a word. */
function lastSaid({ messages }: ChatRequest): Message | undefined {
  return messages.findLast(({ role, content }) => role !== 'user' || plain(content) !== '');
}

/** The text of a message without its images. */
function plain(content: unknown): string {
  if (!Array.isArray(content)) return String(content);
  return (content as { text?: string }[]).map((part) => part.text ?? '').join('');
}

function halves(text: string): string[] {
  const middle = Math.ceil(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)];
}
