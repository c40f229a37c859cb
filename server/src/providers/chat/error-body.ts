import { asList, asObject, asText, parseJson } from './json.ts';
import type { JsonObject } from './json.ts';

/** What an upstream said about an error, in whatever shape it said it. */
export type Complaint = { message?: string; code?: string; type?: string; param?: string; status?: number };

/** Reads the body of an error reply. HTML and other text is not shown to anyone, so it says nothing. */
export function readErrorBody(body: string): Complaint {
  const parsed = parseJson(body);
  const root = asObject(parsed) ?? asObject(asList(parsed)[0]);
  return root === undefined ? {} : readErrorObject(root['error'] ?? root);
}

/** Reads an `error` value: OpenAI's object, a bare string (Ollama), `detail` (FastAPI) or the whole body (old vLLM). */
export function readErrorObject(value: unknown): Complaint {
  if (typeof value === 'string') return value === '' ? {} : { message: value };
  const error = asObject(value);
  if (error === undefined) return {};
  const detail = asList(error['detail']).map(asObject);
  const message =
    asText(error['message']) ??
    asText(error['detail']) ??
    asText(detail.flatMap((entry) => asText(entry?.['msg']) ?? []).join('; ')) ??
    asText(error['error']);
  const param = asText(error['param']) ?? location(detail[0]);
  const code = asText(error['code']);
  const type = asText(error['type']);
  const status = httpStatus(error['code']) ?? httpStatus(error['status']) ?? httpStatus(error['status_code']);
  return {
    ...(message !== undefined && { message }),
    ...(code !== undefined && { code }),
    ...(type !== undefined && { type }),
    ...(param !== undefined && { param }),
    ...(status !== undefined && { status }),
  };
}

/** FastAPI's `["body", "messages", 0, "content"]` as `messages[0].content`. */
function location(entry: JsonObject | undefined): string | undefined {
  const path = asList(entry?.['loc']).filter((step, place) => !(place === 0 && step === 'body'));
  const joined = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return asText(joined.replace(/^\./, ''));
}

function httpStatus(value: unknown): number | undefined {
  const status = typeof value === 'string' ? Number(value) : value;
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status < 600 ? status : undefined;
}
