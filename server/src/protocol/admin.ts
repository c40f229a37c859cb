import { z } from 'zod';
import { pageQuery } from './queries.ts';
import { RESPONSE_STATUSES } from './response.ts';

/** `/admin/v1`: for whoever runs the server, not for clients of the API. All times are Unix seconds. */

export const backupBody = z.strictObject({
  /** A directory of the server's machine, which is not there yet. */
  to: z.string().min(1),
});

export const backupAnswer = z.strictObject({
  object: z.literal('backup'),
  to: z.string(),
  /** Of the database. */
  bytes: z.int(),
});
export type BackupMade = z.infer<typeof backupAnswer>;

// ---------------------------------------------------------------- projects and keys

const name = z.string().min(1).max(200);
const retention = z.enum(['standard', 'modified_abuse_monitoring', 'zero_data_retention']).nullable();
const weight = z.int().min(1).max(1_000);
const maxRunning = z.int().min(1).max(1_000_000).nullable();
const seconds = z.int().describe('Unix time in seconds.');

/** What a project, or one of its keys, may use. What is left out is not limited. */
export const projectLimits = z.strictObject({
  requests_per_minute: z.int().min(1).optional(),
  tokens_per_minute: z.int().min(1).optional(),
  /** Background responses that are queued or run. */
  background_running: z.int().min(1).optional(),
  tokens_per_day: z.int().min(1).optional(),
  /** In the currency of the prices of models. */
  cost_per_day: z.number().positive().optional(),
});
export type ProjectLimits = z.infer<typeof projectLimits>;

export const createProjectBody = z.strictObject({
  name,
  retention: retention.default(null),
  weight: weight.default(1),
  max_running: maxRunning.default(null),
  limits: projectLimits.default({}),
});
export type CreateProjectBody = z.infer<typeof createProjectBody>;

/** What is left out stays as it is; limits are replaced as a whole. */
export const updateProjectBody = z.strictObject({
  name: name.optional(),
  retention: retention.optional(),
  weight: weight.optional(),
  max_running: maxRunning.optional(),
  limits: projectLimits.optional(),
});
export type UpdateProjectBody = z.infer<typeof updateProjectBody>;

export const createKeyBody = z.strictObject({
  name,
  /** From then on it is refused. */
  expires_at: z.int().nullable().default(null),
  limits: projectLimits.default({}),
});
export type CreateKeyBody = z.infer<typeof createKeyBody>;

export const projectAnswer = z.strictObject({
  id: z.string(),
  object: z.literal('project'),
  name: z.string(),
  /** Null: as `retention.mode` of the configuration says. */
  retention,
  weight,
  max_running: maxRunning,
  limits: projectLimits,
  created_at: seconds,
  updated_at: seconds,
});
export type Project = z.infer<typeof projectAnswer>;

export const keyAnswer = z.strictObject({
  id: z.string(),
  object: z.literal('project.api_key'),
  project_id: z.string(),
  name: z.string(),
  /** Its first and last characters, for people. */
  redacted_value: z.string(),
  limits: projectLimits,
  created_at: seconds,
  expires_at: seconds.nullable(),
  /** Exact to a minute. */
  last_used_at: seconds.nullable(),
});
export type ApiKey = z.infer<typeof keyAnswer>;

/** The key itself is shown when it is made, and never again. */
export const keyWithValueAnswer = keyAnswer.extend({ value: z.string() });
export type ApiKeyWithValue = z.infer<typeof keyWithValueAnswer>;

function deletedAnswer<T extends string>(object: T) {
  return z.strictObject({ id: z.string(), object: z.literal(object), deleted: z.literal(true) });
}
export const deletedProjectAnswer = deletedAnswer('project.deleted');
export type DeletedProject = z.infer<typeof deletedProjectAnswer>;
export const deletedKeyAnswer = deletedAnswer('project.api_key.deleted');
export type DeletedKey = z.infer<typeof deletedKeyAnswer>;

// ---------------------------------------------------------------- what is done, and what runs

export const auditAnswer = z.strictObject({
  id: z.string(),
  object: z.literal('audit_entry'),
  at: seconds,
  /** What was done to what, as `project.update`. */
  action: z.string(),
  /** The id of what it was done to. */
  target: z.string(),
  detail: z.record(z.string(), z.unknown()),
});
export type AuditEntryShown = z.infer<typeof auditAnswer>;

export const responsesQuery = pageQuery.extend({ status: z.enum(RESPONSE_STATUSES).optional() });

/** Nothing of what it says. */
export const listedResponseAnswer = z.strictObject({
  id: z.string(),
  object: z.literal('response.listed'),
  status: z.enum(RESPONSE_STATUSES),
  model: z.string(),
  background: z.boolean(),
  created_at: seconds,
  completed_at: seconds.nullable(),
});
export type ResponseListed = z.infer<typeof listedResponseAnswer>;

/** A page, newest first. */
export function listAnswer<T extends z.ZodType>(entry: T) {
  return z.strictObject({
    object: z.literal('list'),
    data: z.array(entry),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  });
}
