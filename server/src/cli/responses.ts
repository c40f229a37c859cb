import type { ResponseListed } from '../admin-command.ts';
import { askForList, numberFrom, pathOf, runAction, tableOf, timeOf } from './actions.ts';
import type { Action } from './actions.ts';

/** `holt responses list|show|cancel` */

/** Of those there are, the newest: all of them may be millions. */
const SHOWN = 20;

const ACTIONS: Record<string, Action> = {
  list: {
    words: [],
    flags: ['project', 'status', 'most'],
    needed: ['project'],
    run: async ({ flags }, ask) => {
      const { project, status, most } = flags;
      const query = status === undefined ? '' : `?${String(new URLSearchParams({ status }))}`;
      const path = `${pathOf('projects', project)}/responses${query}`;
      const found = await askForList<ResponseListed>(ask, path, most === undefined ? SHOWN : numberFrom('most', most));
      return { answer: found, text: show(found) };
    },
  },
  show: {
    words: ['RESPONSE'],
    flags: ['project'],
    needed: ['project'],
    run: async ({ words, flags }, ask) => {
      const response = await ask('GET', pathOf('projects', flags['project'], 'responses', words[0]));
      return { answer: response, text: JSON.stringify(response, null, 2) };
    },
  },
  cancel: {
    words: ['RESPONSE'],
    flags: ['project'],
    needed: ['project'],
    run: async ({ words, flags }, ask) => {
      const path = `${pathOf('projects', flags['project'], 'responses', words[0])}/cancel`;
      const response = await ask<{ id: string; status: string }>('POST', path);
      return { answer: response, text: `${response.id} is ${response.status}.` };
    },
  },
};

export function responses(): Promise<number> {
  return runAction('responses', ACTIONS);
}

function show(found: readonly ResponseListed[]): string {
  return tableOf(
    ['RESPONSE', 'STATUS', 'MODEL', 'BACKGROUND', 'CREATED', 'ENDED'],
    found.map((response) => [
      response.id,
      response.status,
      response.model,
      response.background ? 'yes' : 'no',
      timeOf(response.created_at),
      timeOf(response.completed_at),
    ]),
  );
}
