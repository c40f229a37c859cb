#!/usr/bin/env node
import { COMMAND_HELP, HELP, isCommand } from './help.ts';
import type { Command } from './help.ts';

/** `holt COMMAND`: finds the command, says what went wrong in a line. 2: it was called wrongly. */

/** Each resolves with its exit code. Loaded when it is asked for: a server is large, and `help` needs none of it. */
const COMMANDS: Record<Command, () => Promise<number>> = {
  serve: async () => (await import('./serve.ts')).serve(),
  doctor: async () => (await import('./doctor.ts')).doctor(),
  projects: async () => (await import('./projects.ts')).projects(),
  keys: async () => (await import('./keys.ts')).keys(),
  responses: async () => (await import('./responses.ts')).responses(),
  webhooks: async () => (await import('./webhooks.ts')).webhooks(),
  backup: async () => (await import('./backup.ts')).backup(),
};

async function run(name: string | undefined, args: readonly string[]): Promise<number> {
  if (name === 'help' || name === '--help' || name === '-h') return help(args[0]);
  if (name === undefined || !isCommand(name)) {
    console.error(name === undefined ? HELP : `holt: no such command: ${name}. Those there are: holt help`);
    return 2;
  }
  if (args.includes('--help') || args.includes('-h')) return help(name);
  return COMMANDS[name]();
}

function help(name: string | undefined): number {
  if (name !== undefined && !isCommand(name)) {
    console.error(`holt: no such command: ${name}. Those there are: holt help`);
    return 2;
  }
  console.log(name === undefined ? HELP : COMMAND_HELP[name]);
  return 0;
}

const [command, ...args] = process.argv.slice(2);
try {
  process.exitCode = await run(command, args);
} catch (error) {
  const words = error instanceof Error ? error.message : String(error);
  console.error(`holt: ${words.replaceAll('\n', '; ')}`);
  process.exitCode = error instanceof Error && error.name === 'ConfigError' ? 2 : 1;
}
