/** What `holt help` says. */

export type Command = 'serve' | 'doctor' | 'backup';

export function isCommand(name: string): name is Command {
  return Object.hasOwn(COMMAND_HELP, name);
}

export const HELP = `Usage: holt COMMAND [FLAGS]

  holt serve     serves the Responses API until it is told to stop
  holt backup    makes a backup of a server while it serves
  holt doctor    checks a data directory that no server uses, or a backup
  holt help      this; "holt help COMMAND" says more of one

Exit codes: 0 it is done; 1 it failed; 2 it was called wrongly.`;

export const COMMAND_HELP: Record<Command, string> = {
  serve: `Usage: holt serve [FLAGS]

  --host HOST        127.0.0.1; anything but loopback needs HOLT_API_KEY
  --port PORT        8484
  --data DIR         ./data; one server for each
  --config FILE      ./holt.yaml if it is there
  --retention MODE   what becomes of what clients say: standard, modified_abuse_monitoring, zero_data_retention
  --upstream URL     a Chat Completions endpoint that answers every model name
  --compat MODE      strict, or lenient
  --log-level LEVEL  debug, info, warn, error or silent

Each is also an environment variable: --log-level is HOLT_LOG_LEVEL. Secrets come from the environment only:
HOLT_API_KEY, HOLT_ADMIN_KEY, HOLT_UPSTREAM_API_KEY, HOLT_SECRET. The first SIGTERM or SIGINT lets what runs end, the
second stops at once.
Exit codes: 0 stopped; 1 it could not start or failed; 2 its settings are wrong.`,
  doctor: `Usage: holt doctor [--data DIR] [--config FILE]

Checks a data directory that no server uses, or a backup: the schema, every page, every row, every log with its
snapshot, the secrets and who may read them. Changes nothing, and shows nothing of what responses hold.

  --data DIR      HOLT_DATA, or what the file says, or ./data
  --config FILE   ./holt.yaml if it is there

Exit codes: 0 it is sound; 1 there are findings, a line each; 2 it can't be checked.`,
  backup: `Usage: holt backup --to DIR [--url URL] [--data DIR] [--config FILE]

Makes a copy that a server can be started on, while this one serves. Ends when the copy is complete and durable.

  --to DIR        a directory of the server's machine that is not there yet, outside the data directory
  --url URL       of the server; the one that the settings start on this machine
  --data DIR      where admin.key is, if HOLT_ADMIN_KEY is not set; HOLT_DATA, or what the file says, or ./data
  --config FILE   ./holt.yaml if it is there

Exit codes: 0 the backup is there; 1 there is none; 2 it was called wrongly.`,
};
