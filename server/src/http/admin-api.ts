import * as admin from '../protocol/admin.ts';
import { responseAnswer } from '../protocol/answers.ts';
import { pageQuery } from '../protocol/queries.ts';
import type { Operation } from './api.ts';

/**
 * What is served with the admin key, as a table like that of `api.ts`. It is no part of `/openapi.json`: that document
 * is for clients of the API, and none of them has this key.
 */
export const ADMIN_OPERATIONS: readonly Operation[] = [
  {
    method: 'post',
    path: '/admin/v1/backup',
    id: 'makeBackup',
    summary: 'Copy the data directory while serving; answers when the copy is complete and durable',
    body: admin.backupBody,
    answer: admin.backupAnswer,
    errors: [409],
  },
  {
    method: 'get',
    path: '/admin/v1/audit',
    id: 'listAudit',
    summary: 'List what admins have done, newest first',
    query: pageQuery,
    answer: admin.listAnswer(admin.auditAnswer),
  },
  {
    method: 'post',
    path: '/admin/v1/projects',
    id: 'createProject',
    summary: 'Create a project',
    body: admin.createProjectBody,
    answer: admin.projectAnswer,
  },
  {
    method: 'get',
    path: '/admin/v1/projects',
    id: 'listProjects',
    summary: 'List the projects, newest first',
    query: pageQuery,
    answer: admin.listAnswer(admin.projectAnswer),
  },
  {
    method: 'get',
    path: '/admin/v1/projects/{id}',
    id: 'retrieveProject',
    summary: 'Retrieve a project',
    answer: admin.projectAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/admin/v1/projects/{id}',
    id: 'updateProject',
    summary: 'Change a project; another retention is for new responses',
    body: admin.updateProjectBody,
    answer: admin.projectAnswer,
    errors: [404],
  },
  {
    method: 'delete',
    path: '/admin/v1/projects/{id}',
    id: 'deleteProject',
    summary: 'Delete a project with all that it has',
    answer: admin.deletedProjectAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/admin/v1/projects/{id}/keys',
    id: 'createKey',
    summary: 'Create a key; it is shown this once',
    body: admin.createKeyBody,
    answer: admin.keyWithValueAnswer,
    errors: [404],
  },
  {
    method: 'get',
    path: '/admin/v1/projects/{id}/keys',
    id: 'listKeys',
    summary: 'List the keys of a project, newest first',
    query: pageQuery,
    answer: admin.listAnswer(admin.keyAnswer),
    errors: [404],
  },
  {
    method: 'delete',
    path: '/admin/v1/projects/{id}/keys/{key}',
    id: 'revokeKey',
    summary: 'Revoke a key',
    answer: admin.deletedKeyAnswer,
    errors: [404],
  },
  {
    method: 'get',
    path: '/admin/v1/projects/{id}/responses',
    id: 'listResponses',
    summary: 'List the responses of a project, newest first, without content',
    query: admin.responsesQuery,
    answer: admin.listAnswer(admin.listedResponseAnswer),
    errors: [404],
  },
  {
    method: 'get',
    path: '/admin/v1/projects/{id}/responses/{response}',
    id: 'showResponse',
    summary: 'Retrieve a response of a project',
    answer: responseAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/admin/v1/projects/{id}/responses/{response}/cancel',
    id: 'cancelResponseOfProject',
    summary: 'Stop a background response of a project',
    answer: responseAnswer,
    errors: [404],
  },
];
