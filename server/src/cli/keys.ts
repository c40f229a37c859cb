import { expiryFrom } from '../admin-command.ts';
import type { ApiKey, ApiKeyWithValue } from '../admin-command.ts';
import { askForList, limitsFrom, pathOf, runAction, showLimits, tableOf, timeOf } from './actions.ts';
import type { Action } from './actions.ts';

/** `holt keys list|create|revoke` */

const ACTIONS: Record<string, Action> = {
  list: {
    words: [],
    flags: ['project'],
    needed: ['project'],
    run: async ({ flags }, ask) => {
      const found = await askForList<ApiKey>(ask, `${pathOf('projects', flags['project'])}/keys`);
      return { answer: found, text: show(found) };
    },
  },
  create: {
    words: [],
    flags: ['project', 'name', 'expires', 'limit*'],
    needed: ['project', 'name'],
    run: async (command, ask) => {
      const { project, name, expires } = command.flags;
      const limits = limitsFrom(command);
      const key = await ask<ApiKeyWithValue>('POST', `${pathOf('projects', project)}/keys`, {
        name,
        ...(expires !== undefined && { expires_at: expiryFrom('expires', expires) }),
        ...(limits !== undefined && { limits }),
      });
      const until = key.expires_at === null ? '' : ` It counts until ${timeOf(key.expires_at)}.`;
      return { answer: key, text: key.value, note: `This is ${key.id}, and it is not shown again.${until}` };
    },
  },
  revoke: {
    words: ['KEY'],
    flags: ['project'],
    needed: ['project'],
    run: async ({ words, flags }, ask) => {
      const path = pathOf('projects', flags['project'], 'keys', words[0]);
      const revoked = await ask<{ id: string }>('DELETE', path);
      return { answer: revoked, text: `${revoked.id} is revoked.` };
    },
  },
};

export function keys(): Promise<number> {
  return runAction('keys', ACTIONS);
}

function show(found: readonly ApiKey[]): string {
  return tableOf(
    ['KEY', 'NAME', 'SHOWN AS', 'LIMITS', 'CREATED', 'EXPIRES', 'LAST USED'],
    found.map((key) => [
      key.id,
      key.name,
      key.redacted_value,
      showLimits(key.limits),
      timeOf(key.created_at),
      timeOf(key.expires_at, 'never'),
      timeOf(key.last_used_at, 'never'),
    ]),
  );
}
