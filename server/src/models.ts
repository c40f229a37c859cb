import type { ModelConfig } from './config.ts';
import type { Model } from './protocol/list.ts';
import type { Price } from './domain/limits.ts';
import type { Models, Provider } from './domain/ports.ts';

/** The names a client may ask for, each bound to a provider; `*` answers for every other. */
export function bindModels(bindings: Record<string, ModelConfig>, providers: ReadonlyMap<string, Provider>): Models {
  const wildcard = bindings['*'];
  const named = Object.entries(bindings).filter(([name]) => name !== '*');
  return {
    resolve: (name) => {
      const entry = Object.hasOwn(bindings, name) ? name : '*';
      const binding = bindings[entry];
      const provider = binding === undefined ? undefined : providers.get(binding.provider);
      return binding === undefined || provider === undefined
        ? undefined
        : {
            provider,
            upstreamModel: binding.model ?? name,
            compat: binding.compat ?? 'strict',
            limits: binding.limits ?? {},
            entry,
            allowance: binding.allowance ?? {},
          };
    },
    provider: (name) => providers.get(name),
    list: async (signal) => {
      const own = named.map(([id, { provider }]): Model => ({ id, object: 'model', created: 0, owned_by: provider }));
      const upstream = (wildcard && (await providers.get(wildcard.provider)?.models(signal))) ?? [];
      const seen = new Set(own.map(({ id }) => id));
      return [...own, ...upstream.filter(({ id }) => !seen.has(id))];
    },
  };
}

/** By entry of the configuration. */
export function pricesOf(bindings: Record<string, ModelConfig>): Record<string, Price> {
  return Object.fromEntries(
    Object.entries(bindings).flatMap(([entry, { price }]) => (price === undefined ? [] : [[entry, price]])),
  );
}
