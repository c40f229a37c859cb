import type { Store } from '../../server/src/domain/ports.ts';

/**
 * A store that does `instead` for each of its verbs.
 * @param instead `call` is what the store itself would do
 */
export function storeAround(
  store: Store,
  instead: (verb: string, call: () => unknown, args: readonly unknown[]) => unknown,
): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const verb: unknown = Reflect.get(target, name, target);
      if (typeof verb !== 'function') return verb;
      return (...args: unknown[]): unknown =>
        instead(String(name), () => Reflect.apply(verb as (...args: unknown[]) => unknown, target, args), args);
    },
  });
}
