/** The body of every error (contract.md §5): the four keys are always there. */
export type ErrorEnvelope = {
  error: { message: string; type: string; param: string | null; code: string | null };
};
