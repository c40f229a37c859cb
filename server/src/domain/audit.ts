/** What an admin has done. No secrets, and nothing of what responses hold. */
export type AuditEntry = {
  /** ms */
  at: number;
  /** What was done to what, as `project.update`. */
  action: string;
  /** The id of what it was done to. */
  target: string;
  detail: Record<string, unknown>;
};

/** What an admin does is in the audit log; what a client does with its own is not. */
export type Actor = 'client' | 'admin';

/** The entry for what was done to something of a project; undefined for a client. */
export function auditOf(
  actor: Actor,
  at: number,
  action: string,
  target: string,
  detail: { project: string } & AuditEntry['detail'],
): AuditEntry | undefined {
  return actor === 'admin' ? { at, action, target, detail } : undefined;
}
