/** What `holt help` says. */

export type Command = 'serve' | 'projects' | 'keys' | 'responses' | 'webhooks' | 'backup' | 'doctor';

export function isCommand(name: string): name is Command {
  return Object.hasOwn(COMMAND_HELP, name);
}

export const HELP = `Usage: holt COMMAND [FLAGS]

  holt serve      serves the Responses API until it is told to stop
  holt projects   lists, makes, changes and deletes projects
  holt keys       lists, makes and revokes the keys of a project
  holt responses  lists, shows and cancels the responses of a project
  holt webhooks   lists, makes, tests and deletes the webhook endpoints of a project
  holt backup     makes a backup of a server while it serves
  holt doctor     checks a data directory that no server uses, or a backup
  holt help       this; "holt help COMMAND" says more of one

Exit codes: 0 it is done; 1 it failed; 2 it was called wrongly.`;

/** Of every command that talks to a running server. */
const ASKING = `  --json          as the server answers, for programs
  --url URL       of the server; the one that the settings start on this machine
  --data DIR      where admin.key is, if HOLT_ADMIN_KEY is not set; HOLT_DATA, or what the file says, or ./data
  --config FILE   ./holt.yaml if it is there

Exit codes: 0 it is done; 1 the server refused or is not there; 2 it was called wrongly.`;

export const COMMAND_HELP: Record<Command, string> = {
  serve: `Usage: holt serve [FLAGS]

  --host HOST        127.0.0.1; anything but loopback needs HOLT_API_KEY or a key of a project
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
  projects: `Usage: holt projects list
       holt projects create --name NAME [SETTINGS]
       holt projects update PROJECT [--name NAME] [SETTINGS]
       holt projects delete PROJECT

A project has keys, and a key sees the responses of its own project only. "create" says the id of the new one. "delete"
takes its keys away at once, cancels what runs, and forgets all that it had; the project default can't be deleted.

  --retention MODE       for new responses: standard, modified_abuse_monitoring, zero_data_retention, or inherit, which
                         is what the server was started with
  --weight N             1 to 1000: its share of the slots while others wait
  --max-running N        how many of its background responses run at once, or none for no bound of its own
  --limit NAME=NUMBER    requests_per_minute, tokens_per_minute, background_running, tokens_per_day or cost_per_day; as
                         often as needed, all of them anew; "--limit none" takes them away
${ASKING}`,
  keys: `Usage: holt keys list --project PROJECT
       holt keys create --project PROJECT --name NAME [--expires WHEN] [--limit NAME=NUMBER]
       holt keys revoke KEY --project PROJECT

"create" says the key itself, which is stored nowhere and shown this once. From the first one on every client needs a key.

  --project PROJECT      as in holt projects list; "default" is that of HOLT_API_KEY
  --name NAME            what people know it by
  --expires WHEN         '90 days', or a date such as 2030-01-31; never
  --limit NAME=NUMBER    as those of projects, for this key alone
${ASKING}`,
  responses: `Usage: holt responses list --project PROJECT [--status STATUS] [--most N]
       holt responses show RESPONSE --project PROJECT
       holt responses cancel RESPONSE --project PROJECT

"list" says nothing of what they hold; "show" does, and is written into the audit log.

  --project PROJECT      as in holt projects list
  --status STATUS        queued, in_progress, completed, failed, incomplete or cancelled
  --most N               the newest N; 20
${ASKING}`,
  webhooks: `Usage: holt webhooks list --project PROJECT
       holt webhooks create --project PROJECT --name NAME --to URL [--event TYPE]
       holt webhooks update ENDPOINT --project PROJECT [--name NAME] [--to URL] [--event TYPE]
       holt webhooks rotate ENDPOINT --project PROJECT [--old keep|drop]
       holt webhooks delete ENDPOINT --project PROJECT
       holt webhooks test ENDPOINT --project PROJECT [--event TYPE]
       holt webhooks deliveries ENDPOINT --project PROJECT [--most N]
       holt webhooks redeliver ENDPOINT DELIVERY --project PROJECT

"create" and "rotate" say the signing secret, which is shown this once. "update" also enables what was disabled. "deliveries" says what became of the newest events.

  --project PROJECT      as in holt projects list
  --to URL               where the events are sent
  --old keep|drop        whether the old secret is valid for 24 hours more; keep
  --event TYPE           response.completed, response.failed, response.incomplete or response.cancelled; as often as
                         needed for "create", which takes all of them without it
  --most N               the newest N; 20
${ASKING}`,
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
