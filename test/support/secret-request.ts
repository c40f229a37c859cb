import type { Script } from './upstream.ts';

/** A request and an answer of which every text is known, so that it can be looked for. */

export const SAID = {
  prompt: 'Patient Wilhelmina Quartermaine swallowed seventeen turquoise marbles.',
  instructions: 'Whisper only about hippopotamus orthodontics, never zeppelins.',
  metadata: 'ledger-entry-Xylophone-8841-Ostrava',
  toolName: 'summonKrakenFromFjord',
  toolDescription: 'Unfurls the velvet periscope beneath Valparaiso.',
  toolOutput: 'The dromedary confessed: vault combination forty-two sapphires.',
  callArguments: '{"password":"gooseberry-trampoline-infinity"}',
  clientItemId: 'msg_clientchosenwombatparliament',
  clientCallId: 'call_clientchosenmarzipandirigible',
  output: 'Eleven narwhals juggle flamboyant cucumbers at the embassy of Lilliput.',
  upstreamError: 'quoting you: kaleidoscope burglars adore rhubarb cathedrals',
} as const;

export const REQUEST = {
  instructions: SAID.instructions,
  metadata: { case: SAID.metadata },
  tools: [
    {
      type: 'function',
      name: SAID.toolName,
      description: SAID.toolDescription,
      parameters: { type: 'object', properties: {} },
    },
  ],
  input: [
    { type: 'message', role: 'user', id: SAID.clientItemId, content: SAID.prompt },
    { type: 'function_call', call_id: SAID.clientCallId, name: SAID.toolName, arguments: SAID.callArguments },
    { type: 'function_call_output', call_id: SAID.clientCallId, output: SAID.toolOutput },
  ],
};

const HALF = SAID.output.length / 2;
const first = { delta: { role: 'assistant', content: SAID.output.slice(0, HALF) } };
const rest = [{ delta: { content: SAID.output.slice(HALF) } }, { finish: 'stop' }, { done: true as const }];

/** Says it all, and stands at `gate` in the middle if there is one. */
export function answering(gate?: string): Script {
  return { steps: [first, ...(gate === undefined ? [] : [{ gate }]), ...rest] };
}

/** Stands before it says anything, at its first request only. */
export function silentAt(gate: string): Script {
  return { headersGate: gate, ...answering() };
}
