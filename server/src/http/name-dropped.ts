import type { FastifyReply } from 'fastify';

/** Clients give up on heads of some 16 kB. */
const LIST_CHARACTERS = 4_096;
const NAME_CHARACTERS = 200;

/** The `holt-dropped` header, if a lenient model has left anything out. Clients wrote the names: only plain characters. */
export function nameDropped(reply: FastifyReply, dropped: readonly string[]): void {
  if (dropped.length === 0) return;
  let list = '';
  for (const [index, name] of dropped.entries()) {
    const plain = name.slice(0, NAME_CHARACTERS).replaceAll(/[^\w.[\]=/-]/g, '_');
    if (list.length + plain.length > LIST_CHARACTERS) {
      list += `, and ${dropped.length - index} more`;
      break;
    }
    list += index === 0 ? plain : `, ${plain}`;
  }
  reply.header('holt-dropped', list);
}
