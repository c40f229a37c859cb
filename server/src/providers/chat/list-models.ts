import type { Model } from '../../protocol/list.ts';
import { asList, asObject, asText, parseJson } from './json.ts';

/** The body of `GET /models` as our list shows it; what has no id is left out. */
export function readModels(body: string): Model[] {
  return asList(asObject(parseJson(body))?.['data']).flatMap((value) => {
    const model = asObject(value);
    const id = asText(model?.['id']);
    if (id === undefined) return [];
    const created = model?.['created'];
    return [
      {
        id,
        object: 'model' as const,
        created: typeof created === 'number' ? Math.floor(created) : 0,
        owned_by: asText(model?.['owned_by']) ?? 'upstream',
      },
    ];
  });
}
