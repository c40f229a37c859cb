import assert from 'node:assert/strict';
import type { ApiKeyWithValue, Project } from '../../server/src/protocol/admin.ts';
import { call, jsonRequest } from './wire.ts';
import type { Answer, Served } from './wire.ts';

/** What whoever runs the server does over HTTP, for tests that need projects. */

export const ADMIN_KEY = 'the-key-of-the-cellar';

export function bearer(key: string): { authorization: string } {
  return { authorization: `Bearer ${key}` };
}

/** @param path below `/admin/v1/` */
export function admin(holt: Served, method: string, path: string, body?: unknown): Promise<Answer> {
  const headers = bearer(ADMIN_KEY);
  const init = body === undefined ? { headers } : jsonRequest(body, headers);
  return call(method, `${holt.url}/admin/v1/${path}`, { ...init, method });
}

/** The answer, which has to be a 200. */
export async function adminJson<T>(holt: Served, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await admin(holt, method, path, body);
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text) as T; // what the test says it is
}

export function makeProject(holt: Served, body: object = {}): Promise<Project> {
  return adminJson(holt, 'POST', 'projects', { name: 'A team', ...body });
}

export function makeKey(holt: Served, projectId: string, body: object = {}): Promise<ApiKeyWithValue> {
  return adminJson(holt, 'POST', `projects/${projectId}/keys`, { name: 'of a test', ...body });
}

export type Team = { id: string; headers: { authorization: string }; key: ApiKeyWithValue };

/** A project with a key, and what its requests carry. */
export async function makeTeam(holt: Served, body: object = {}): Promise<Team> {
  const { id } = await makeProject(holt, body);
  const key = await makeKey(holt, id);
  return { id, key, headers: bearer(key.value) };
}

export type Audited = { action: string; target: string; detail: Record<string, unknown> };

/** Newest first. */
export async function audited(holt: Served): Promise<Audited[]> {
  const { data } = await adminJson<{ data: Audited[] }>(holt, 'GET', 'audit?limit=100');
  return data.map(({ action, target, detail }) => ({ action, target, detail }));
}
