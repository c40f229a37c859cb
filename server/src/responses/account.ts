import { ApiError } from '../domain/errors.ts';
import { countsOf, usedBy } from '../domain/limits.ts';
import type { Caller } from '../domain/limits.ts';
import type { ForegroundRun, ModelBinding, RunSpec } from '../domain/ports.ts';
import type { Response } from '../protocol/response.ts';
import type { ResponsesDeps } from './deps.ts';

/** What responses use, where no closing chunk writes it down. */

type Deps = Pick<ResponsesDeps, 'limiter' | 'store' | 'clock' | 'log'>;

/**
 * Of a response that leaves no row. Nobody waits for it: an answer is not held up, nor lost, because it could not be
 * counted.
 */
export function countUnstored(deps: Deps, caller: Caller, binding: ModelBinding, response: Response): void {
  deps.store
    .addUsage({
      projectId: caller.projectId,
      keyId: caller.key?.id ?? null,
      modelEntry: binding.entry,
      at: deps.clock.now(),
      counts: countsOf(response),
    })
    .catch((error: unknown) => {
      deps.log.warn({ err: error, response_id: response.id }, 'what a response has used could not be counted');
    });
  deps.limiter.settle(response.id, usedBy(response));
}

/** What was refused has used nothing; of what was broken off, nobody knows. */
export function settleIfBroken({ limiter }: Deps, { id }: RunSpec, run: ForegroundRun): void {
  run.ended.catch((error: unknown) => {
    if (error instanceof ApiError) limiter.withdraw(id);
    else limiter.settle(id, 'uncounted');
  });
}
