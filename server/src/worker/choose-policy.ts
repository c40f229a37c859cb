import type { Fold } from '../domain/fold.ts';
import type { OwnedResponse, Provider, UpstreamPlace } from '../domain/ports.ts';
import { isToolCall } from '../domain/tools.ts';

/** What becomes of an orphan (design.md §8), decided from its log up to the fence. The first that fits is taken. */

export type CrashSettings = {
  /** Runs of a response in all, whatever the policy. */
  maxAttempts: number;
  /** What becomes of a response that has shown output and can't go on where it stopped. */
  onCrash: 'fail' | 'restart';
};

export type Policy = { policy: 'cancel' } | { policy: 'fail'; message: string } | Resumption;

export type Resumption =
  /** Policy 0: nothing past `in_progress` was logged, so nobody can tell. */
  | { policy: 'rerun' }
  /** Policy 1: the upstream has gone on meanwhile. */
  | { policy: 'reattach'; place: UpstreamPlace }
  /** Policy 2: the upstream goes on after a text, in the same item. */
  | { policy: 'continue'; prefix: string }
  /** Policy 3 with `on_crash: restart`: once more, in new items. */
  | { policy: 'restart' };

const INTERRUPTED = 'The server stopped while this response was running; what had been produced is kept.';
const TRIED_TOO_OFTEN = 'The server stopped each time it ran this response; it will not be tried again.';

/** @param provider undefined when it is no longer configured */
export function choosePolicy(
  orphan: Pick<OwnedResponse, 'attempt' | 'cancelRequestedAt' | 'upstream'>,
  log: Fold,
  provider: Pick<Provider, 'reattach' | 'continueFrom'> | undefined,
  { maxAttempts, onCrash }: CrashSettings,
): Policy {
  if (orphan.cancelRequestedAt !== null) return { policy: 'cancel' };
  const { output } = log.response;
  const shown = output.length > 0;
  if (orphan.attempt > maxAttempts)
    return { policy: 'fail', message: shown && onCrash === 'fail' ? INTERRUPTED : TRIED_TOO_OFTEN };
  if (!shown && orphan.upstream === undefined) return { policy: 'rerun' };
  if (orphan.upstream !== undefined && provider?.reattach !== undefined) {
    return { policy: 'reattach', place: orphan.upstream };
  }
  const prefix = provider?.continueFrom === undefined ? undefined : onlyOpenText(log);
  if (prefix !== undefined) return { policy: 'continue', prefix };
  if (onCrash === 'restart' && !hasCompleteCall(log)) return { policy: 'restart' };
  return { policy: 'fail', message: INTERRUPTED };
}

/** The text of the one open part, when it is all that was shown. */
function onlyOpenText({ response, open }: Fold): string | undefined {
  const [item, ...others] = response.output;
  if (item?.type !== 'message' || others.length > 0 || open.get(0)?.part !== 0) return undefined;
  const [part, ...more] = item.content;
  return part?.type === 'output_text' && more.length === 0 ? part.text : undefined;
}

/** Whoever follows the stream may have made that call already: another run would ask for it again. */
function hasCompleteCall({ response }: Fold): boolean {
  return response.output.some((item) => isToolCall(item) && item.status === 'completed');
}
