import { DIRECTORY, IN_USE, LIVE, RESIDENT } from './sample.ts';
import type { Report } from './run-soak.ts';
import { isCount } from './verdict.ts';

/** What a soak has to say, in lines. */
export function linesOf(report: Report): string[] {
  const { figures, failures, responses, webhooks, whole, judgedMs } = report;
  const counts = [...figures.counts].toSorted(([a], [b]) => a.localeCompare(b));
  return [
    ...table(report),
    '',
    `${responses} responses, ${webhooks} webhooks; by what clients did:`,
    ...counts.map(([what, count]) => `${String(count).padStart(8)}  ${what}`),
    ...(figures.overtaken > 0 ? [`${String(figures.overtaken).padStart(8)}  forgotten before they were through`] : []),
    '',
    ...(whole && responses > 0
      ? [`judged: ${Math.round(judgedMs / 1_000)} s; what would be told is ${sensitivity(report)}`]
      : ['not judged: it ended before its time']),
    ...(failures.length === 0 ? ['nothing went wrong'] : ['FAILED:', ...failures.map((one) => `- ${one}`)]),
  ];
}

function table({ verdicts, whole }: Report): string[] {
  const rows = verdicts.map(({ quantity, start, before, after, allowed, flat }) => {
    const show = (value: number): string => shown(value, isCount(quantity));
    const growth = `${after >= before ? '+' : ''}${show(after - before)}`;
    const verdict = whole ? (flat ? 'flat' : 'LEAKS') : '';
    return [quantity, show(start), show(before), show(after), growth, `+${show(allowed)}`, verdict];
  });
  const all = [['', 'start', 'after warm-up', 'end', 'growth', 'allowed', ''], ...rows];
  return all.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(18) : cell.padStart(14)))
      .join('')
      .trimEnd(),
  );
}

function shown(value: number, count: boolean): string {
  return count ? String(Math.round(value)) : `${(value / (1 << 20)).toFixed(2)} MiB`;
}

/** The least leak for each response that this run would have told of. The halves' middles are half of what was judged apart. */
function sensitivity({ verdicts, responses, judgedMs, ms }: Report): string {
  const between = (responses * judgedMs) / 2 / ms;
  return verdicts
    .filter(({ quantity }) => [RESIDENT, LIVE, DIRECTORY, IN_USE].includes(quantity))
    .map(({ quantity, allowed }) => `${(allowed / between / 1_024).toFixed(1)} kiB of ${quantity}`)
    .join(', ')
    .concat(' a response');
}
