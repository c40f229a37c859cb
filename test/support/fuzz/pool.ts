/** Ids that were seen in answers, for requests that name what is there. */

/** Forgets at random beyond this, so that histories stay short. */
const MOST = 60;

export class Pool {
  readonly responses: string[] = [];
  readonly conversations: string[] = [];
  readonly items: string[] = [];
  conversationItems: [conversation: string, item: string][] = [];
  readonly endpoints: string[] = [];
  deliveries: [endpoint: string, delivery: string][] = [];

  /** @param n of the request, decides what is forgotten; of what was deleted one in ten is kept */
  collect(target: string, json: unknown, n: number): void {
    if (typeof json !== 'object' || json === null) return;
    const { id, deleted, store, data, output } = json as Record<string, unknown>;
    if (typeof id === 'string' && store !== false) {
      if (deleted === true && n % 10 !== 0) this.#forget(id);
      else if (id.startsWith('resp_')) keep(this.responses, id, n);
      else if (id.startsWith('conv_')) keep(this.conversations, id, n);
      else if (id.startsWith('whe_')) keep(this.endpoints, id, n);
    }
    const endpoint = /^\/v1\/webhook_endpoints\/(\w+)\/deliveries/.exec(target)?.[1];
    if (endpoint !== undefined) {
      for (const delivery of [data].flat()) {
        const deliveryId = (delivery as { id?: unknown } | null | undefined)?.id;
        if (typeof deliveryId === 'string') keep(this.deliveries, [endpoint, deliveryId], n);
      }
      return;
    }
    const conversation = /^\/v1\/conversations\/(\w+)\/items/.exec(target)?.[1];
    for (const item of [data, output].flat()) {
      const itemId = (item as { id?: unknown } | null | undefined)?.id;
      if (typeof itemId !== 'string') continue;
      keep(this.items, itemId, n);
      if (conversation !== undefined) keep(this.conversationItems, [conversation, itemId], n);
    }
  }

  #forget(id: string): void {
    for (const list of [this.responses, this.conversations, this.endpoints]) {
      const place = list.indexOf(id);
      if (place >= 0) list.splice(place, 1);
    }
    this.conversationItems = this.conversationItems.filter(([conversation]) => conversation !== id);
    this.deliveries = this.deliveries.filter(([endpoint]) => endpoint !== id);
  }
}

function keep<T>(list: T[], id: T, n: number): void {
  if (list.includes(id)) return;
  if (list.length < MOST) list.push(id);
  else list[n % MOST] = id;
}
