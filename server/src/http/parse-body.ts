import type { z } from 'zod';
import { apiError } from '../domain/errors.ts';
import type { ApiError } from '../domain/errors.ts';

/** Bytes -> JSON -> what a schema makes of it, with the official error for whatever is wrong (contract.md §5). */

/** The fields whose bounds are told as those of a decimal, also to a whole number (recorded wire). */
const DECIMALS: ReadonlySet<string> = new Set(['temperature', 'top_p']);

/** Deeper nesting than any schema needs; what comes later recurses. */
const MAX_DEPTH = 200;
/** More keys than any object needs: each is looked at on its own, and a body can hold millions. */
const MAX_KEYS = 10_000;

/** Undefined for an empty body, which the Python client sends with a JSON content type on cancel and delete. */
export function parseJson(text: string): unknown {
  if (text.trim() === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw apiError('invalid_json', { reason: error instanceof Error ? shorten(error.message) : '', cause: error });
  }
  const excess = excessOf(value);
  if (excess !== undefined) throw apiError('invalid_json', { reason: excess });
  return value;
}

/** V8 quotes the body in its messages; what a client sent should not be thrown back at length. */
function shorten(message: string): string {
  return message.replace(/[,.]? ?\.{0,3}"[\s\S]*$/, '').slice(0, 120);
}

function excessOf(value: unknown): string | undefined {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return `nested deeper than ${MAX_DEPTH} levels`;
    const next: unknown[][] = [];
    for (const node of level) {
      if (Array.isArray(node)) next.push(node);
      else if (typeof node === 'object' && node !== null) {
        const values: unknown[] = Object.values(node);
        if (values.length > MAX_KEYS) return `an object with more than ${MAX_KEYS} keys`;
        next.push(values);
      }
    }
    level = next.flat();
  }
  return undefined;
}

export function parseObject<T>(schema: z.ZodType<T>, value: unknown): { raw: object; body: T } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw apiError('invalid_json', { reason: `expected an object, but got ${nameOf(value)}` });
  }
  return { raw: value, body: validate(schema, value) };
}

/** What a schema makes of a value; the error of the first thing that is wrong with it names its place. */
export function validate<T>(schema: z.ZodType<T>, value: object): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue === undefined) throw parsed.error;
  throw toApiError(issue, [], value);
}

type Issue = z.core.$ZodIssue;

function toApiError(issue: Issue, prefix: readonly PropertyKey[], root: unknown): ApiError {
  const path = [...prefix, ...issue.path];
  const param = pathOf(path);
  const got = at(root, path);
  switch (issue.code) {
    case 'invalid_type':
      if (got === undefined) return apiError('missing_required_parameter', { param });
      return apiError('invalid_type', { param, expected: article(issue.expected), got: nameOf(got) });
    case 'too_small':
    case 'too_big':
      return outOfRange(issue, param, got);
    case 'invalid_value':
      if (got === undefined) return apiError('missing_required_parameter', { param });
      if (typeof got !== typeof issue.values[0]) {
        return apiError('invalid_type', { param, expected: `one of ${quoted(issue.values)}`, got: nameOf(got) });
      }
      return apiError('invalid_value', { param, reason: `must be one of ${quoted(issue.values)}` });
    case 'invalid_format':
      return apiError('invalid_value', {
        param,
        reason: `does not match the pattern ${issue.pattern ?? issue.format}`,
      });
    case 'invalid_union':
      return unionError(issue, path, root);
    case 'invalid_key':
    case 'invalid_element': {
      const inner = issue.issues[0];
      return inner?.code === 'too_big'
        ? outOfRange(inner, param, path.at(-1))
        : apiError('invalid_value', { param, reason: 'is not valid' });
    }
    case 'custom': {
      const code = issue.params?.['code'];
      return apiError('out_of_range', { param, reason: issue.message, ...(typeof code === 'string' ? { code } : {}) });
    }
    case 'unrecognized_keys':
      return apiError('unknown_parameter', { param: pathOf([...path, issue.keys[0] ?? '']) });
    case 'not_multiple_of':
      return apiError('invalid_value', { param, reason: 'is not valid' });
  }
}

/** Of the shapes a value may have, complains about the one it was meant to be. */
function unionError(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: readonly PropertyKey[],
  root: unknown,
): ApiError {
  const got = at(root, path);
  const param = pathOf(path);
  if (issue.errors.length === 0) {
    // A discriminated union whose discriminator, the last of the path, is missing or unknown.
    if (got === undefined) return apiError('missing_required_parameter', { param });
    return apiError('unsupported_value', { param, reason: `does not support ${quoted([got])} on this server` });
  }
  const meant = issue.errors.find((errors) => errors[0] !== undefined && !isTypeMismatch(errors[0]));
  if (meant?.[0] !== undefined) return toApiError(meant[0], path, root);
  if (got === undefined) return apiError('missing_required_parameter', { param });
  const expected = issue.errors.map((errors) => expectation(errors[0])).filter((name) => name !== '');
  return apiError('invalid_type', { param, expected: `one of ${expected.join(' or ')}`, got: nameOf(got) });
}

function isTypeMismatch(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

function expectation(issue: Issue | undefined): string {
  if (issue?.code === 'invalid_type') return article(issue.expected);
  return issue?.code === 'invalid_value' ? quoted(issue.values) : '';
}

function outOfRange(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>, param: string, got: unknown): ApiError {
  const low = issue.code === 'too_small';
  const bound = String(low ? issue.minimum : issue.maximum);
  const { origin } = issue;
  if (origin === 'string' || origin === 'array') {
    const length = Array.isArray(got) ? got.length : String(got).length;
    const [code, side, most] = low ? ['below_min', 'short', 'minimum'] : ['above_max', 'long', 'maximum'];
    return apiError('out_of_range', {
      param,
      code: `${origin}_${code}_length`,
      reason: `${origin} too ${side}. Expected ${article(origin)} with ${most} length ${bound}, but got ${article(origin)} with length ${length} instead.`,
    });
  }
  const kind = DECIMALS.has(param) ? 'decimal' : 'integer';
  const [side, sign] = low ? ['below minimum value', '>='] : ['above maximum value', '<='];
  return apiError('out_of_range', {
    param,
    code: `${kind}_${low ? 'below_min' : 'above_max'}_value`,
    reason: `${kind} ${side}. Expected a value ${sign} ${bound}, but got ${String(got)} instead.`,
  });
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}

function at(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key]; // an own key, as just checked
  }
  return value;
}

function quoted(values: readonly unknown[]): string {
  return values.map((value) => `'${shown(value).slice(0, 64)}'`).join(', ');
}

/** As JSON, since an object of a client may have a `toString` that is no function. */
function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function article(expected: string): string {
  if (expected === 'int') return 'an integer';
  if (expected === 'record') return 'an object';
  return /^[aeiou]/.test(expected) ? `an ${expected}` : `a ${expected}`;
}

function nameOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a decimal number';
  return article(typeof value);
}
