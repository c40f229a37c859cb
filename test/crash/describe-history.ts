import type { Witness } from '../support/history.ts';
import type { Population } from './population.ts';

/** What clients saw of the responses that a failure names, in words. */
export function describeHistories(failure: string, { acknowledged }: Population): string[] {
  return acknowledged
    .filter(({ history }) => failure.includes(history.id))
    .flatMap(({ history, plan, cancelSent, deleteSent, deleted }) => [
      `the history of ${history.id}: ${JSON.stringify({ plan, cancelSent, deleteSent, deleted })}`,
      ...history.witnesses.map((witness, index) => `  client ${index} saw ${describe(witness)}`),
    ]);
}

function describe({ seen }: Witness): string {
  const words = seen.map((one) =>
    'frame' in one
      ? `${one.frame.data.sequence_number} ${one.frame.event.replace('response.', '')}`
      : `[${one.snapshot.status}, ${JSON.stringify(one.snapshot.output).length}]`,
  );
  return words.length === 0 ? 'nothing' : words.join(', ');
}
