#!/usr/bin/env node
import { ConfigError } from '../config.ts';
import { serve } from './serve.ts';

/** `holt COMMAND`: finds the command, says what went wrong in a line. */

const USAGE = `Usage: holt serve [--host H] [--port P] [--data DIR] [--config FILE] [--upstream URL] [--log-level L]`;

const [command] = process.argv.slice(2);
try {
  if (command === 'serve') await serve();
  else {
    console.error(USAGE);
    process.exitCode = command === '--help' || command === 'help' ? 0 : 2;
  }
} catch (error) {
  console.error(`holt: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
