import type { RetentionMode } from '../domain/retention.ts';
import type { ResponsesDeps } from './deps.ts';

/** What happens to what is said in a project from now on. */
export async function retentionOf(
  { projects, settings }: Pick<ResponsesDeps, 'projects' | 'settings'>,
  projectId: string,
): Promise<RetentionMode> {
  const project = await projects.find(projectId);
  return project?.retention ?? settings.retention;
}
