import type { FastifyInstance } from 'fastify';

/**
 * OPTIONS of every URL there is, for who asks what may be done with it (RFC 9110 §9.3.7). The question of a browser
 * has its answer in `cors.ts` before.
 * @param register adds the routes that are meant
 */
export function withAllowedMethods(app: FastifyInstance, register: () => void): void {
  const methods = new Map<string, Set<string>>();
  let collecting = true;
  app.addHook('onRoute', ({ url, method }) => {
    if (!collecting) return;
    const known = methods.get(url) ?? new Set();
    for (const one of [method].flat()) known.add(one);
    methods.set(url, known);
  });
  register();
  collecting = false;
  for (const [url, known] of methods) {
    const allow = [...known, 'OPTIONS'].join(', ');
    app.options(url, (_request, reply) => reply.code(204).header('allow', allow).send());
  }
}
