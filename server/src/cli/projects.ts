import type { AdminCommand, Project } from '../admin-command.ts';
import { askForList, limitsFrom, numberFrom, pathOf, runAction, showLimits, tableOf, timeOf } from './actions.ts';
import type { Action } from './actions.ts';

/** `holt projects list|create|update|delete` */

const FIELDS = ['name', 'retention', 'weight', 'max-running', 'limit*'];

const ACTIONS: Record<string, Action> = {
  list: {
    words: [],
    flags: [],
    run: async (_command, ask) => {
      const projects = await askForList<Project>(ask, 'projects');
      return { answer: projects, text: show(projects) };
    },
  },
  create: {
    words: [],
    flags: FIELDS,
    needed: ['name'],
    run: async (command, ask) => {
      const project = await ask<Project>('POST', 'projects', bodyOf(command));
      const note = `It has no key yet: holt keys create --project ${project.id} --name NAME`;
      return { answer: project, text: project.id, note };
    },
  },
  update: {
    words: ['PROJECT'],
    flags: FIELDS,
    run: async (command, ask) => {
      const project = await ask<Project>('POST', `projects/${pathOf(command.words[0])}`, bodyOf(command));
      return { answer: project, text: show([project]) };
    },
  },
  delete: {
    words: ['PROJECT'],
    flags: [],
    run: async ({ words }, ask) => {
      const deleted = await ask<{ id: string }>('DELETE', `projects/${pathOf(words[0])}`);
      return { answer: deleted, text: `${deleted.id} is deleted. What it had is being forgotten.` };
    },
  },
};

export function projects(): Promise<number> {
  return runAction('projects', ACTIONS);
}

function bodyOf(command: AdminCommand): object {
  const { name, retention, weight, 'max-running': maxRunning } = command.flags;
  const limits = limitsFrom(command);
  return {
    ...(name !== undefined && { name }),
    ...(retention !== undefined && { retention: retention === 'inherit' ? null : retention }),
    ...(weight !== undefined && { weight: numberFrom('weight', weight) }),
    ...(maxRunning !== undefined && {
      max_running: maxRunning === 'none' ? null : numberFrom('max-running', maxRunning),
    }),
    ...(limits !== undefined && { limits }),
  };
}

function show(found: readonly Project[]): string {
  return tableOf(
    ['PROJECT', 'NAME', 'RETENTION', 'WEIGHT', 'MAX RUNNING', 'LIMITS', 'CREATED'],
    found.map((project) => [
      project.id,
      project.name,
      project.retention ?? 'inherit',
      String(project.weight),
      project.max_running === null ? '-' : String(project.max_running),
      showLimits(project.limits),
      timeOf(project.created_at),
    ]),
  );
}
