import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Prometheus's text format 0.0.4, read as strictly as its description allows. */

export type Family = { name: string; type: string; help: string; samples: Sample[] };
export type Sample = { name: string; labels: Record<string, string>; value: number };

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
const SUFFIXES: Record<string, readonly string[]> = { histogram: ['_bucket', '_sum', '_count'] };

export function parseMetrics(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  const families = new Map<string, Family>();
  let current: Family | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, kind, name = '', rest = ''] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line) ?? [];
    if (kind === 'HELP') {
      assert.ok(!families.has(name), `${name} is there once`);
      current = { name, help: rest, type: '', samples: [] };
      families.set(name, current);
    } else if (kind === 'TYPE') {
      assert.equal(name, current?.name, 'the type follows the help');
      assert.match(rest, /^(counter|gauge|histogram|summary|untyped)$/);
      if (current !== undefined) current.type = rest;
    } else {
      const sample = parseSample(line);
      assert.ok(current !== undefined, line);
      const names = (SUFFIXES[current.type] ?? ['']).map((suffix) => `${current?.name}${suffix}`);
      assert.ok(names.includes(sample.name), `${line} does not belong to ${current.name}`);
      current.samples.push(sample);
    }
  }
  const series = [...families.values()].flatMap(({ samples }) => samples.map(keyOf));
  assert.equal(new Set(series).size, series.length, 'every series is there once');
  return families;
}

function parseSample(line: string): Sample {
  const [, name = '', inside = '', value = ''] = SAMPLE.exec(line) ?? [];
  assert.notEqual(name, '', `no sample: ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inside.length) {
    const [, key = '', text = ''] = LABEL.exec(inside) ?? assert.fail(`no labels: ${line}`);
    labels[key] = text;
  }
  const number = value === '+Inf' ? Infinity : Number(value);
  // Prometheus reads it in any case, as what no one has measured yet.
  assert.ok(!Number.isNaN(number) || value.toLowerCase() === 'nan', `no number: ${line}`);
  return { name, labels, value: number };
}

/** As one would write it in a query, labels sorted. */
export function keyOf({ name, labels }: Sample): string {
  const inside = Object.entries(labels)
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([key, value]) => `${key}="${value}"`);
  return inside.length === 0 ? name : `${name}{${inside.join(',')}}`;
}

/** A scrape as a map from series to value. */
export class Scrape {
  readonly families: Map<string, Family>;
  readonly #values: Map<string, number>;

  constructor(text: string) {
    this.families = parseMetrics(text);
    const samples = [...this.families.values()].flatMap((family) => family.samples);
    this.#values = new Map(samples.map((sample) => [keyOf(sample), sample.value]));
  }

  static async of(holt: { url: string }, headers: Record<string, string> = {}): Promise<Scrape> {
    const answer = await fetch(`${holt.url}/metrics`, { headers });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return new Scrape(text);
  }

  /** The first scrape that `wanted` holds of; a defect fails its test instead of hanging it. */
  static async until(holt: { url: string }, wanted: (scrape: Scrape) => boolean, what: string): Promise<Scrape> {
    const last = performance.now() + 20_000;
    for (;;) {
      const scrape = await Scrape.of(holt);
      if (wanted(scrape)) return scrape;
      assert.ok(performance.now() < last, `${what}: ${[...scrape.series('holt_')].join('\n')}`);
      await sleep(5);
    }
  }

  /** Undefined when there is no such series. */
  value(key: string): number | undefined {
    return this.#values.get(key);
  }

  /** Every series whose name begins so. */
  series(prefix: string): string[] {
    return [...this.#values.keys()].filter((key) => key.startsWith(prefix));
  }

  /** What has grown since `before`, and by how much. */
  since(before: Scrape, prefix: string): Record<string, number> {
    const grown = this.series(prefix).map((key) => [key, (this.value(key) ?? 0) - (before.value(key) ?? 0)] as const);
    return Object.fromEntries(grown.filter(([, by]) => by !== 0));
  }
}
