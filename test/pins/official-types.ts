import type OpenAI from 'openai';
import type * as Responses from 'openai/resources/responses/responses';
import type { Compaction } from '../../server/src/protocol/compaction.ts';
import type { Conversation, DeletedConversation } from '../../server/src/protocol/conversation.ts';
import type { CreateResponseBody } from '../../server/src/protocol/create-response.ts';
import type { ErrorEnvelope } from '../../server/src/protocol/error-envelope.ts';
import type { ResponseEvent } from '../../server/src/protocol/events.ts';
import type { InputTokens } from '../../server/src/protocol/input-tokens.ts';
import type { OutputItem } from '../../server/src/protocol/items.ts';
import type { InputItemResource, ListPage, Model } from '../../server/src/protocol/list.ts';
import type { Response, Usage } from '../../server/src/protocol/response.ts';

/**
 * Our protocol types against those of the official client. Nothing here runs: `npm run check` compiles it. An exception
 * that is no longer one fails like a difference that is not yet one.
 */

/** The fields that a program with the official types would read wrongly; of a union, those of any member. */
type Differs<Ours, Theirs> = Ours extends { type: infer Type }
  ? DiffersIn<Ours, Extract<Theirs, { type: Type }>>
  : DiffersIn<Ours, Theirs>;
type DiffersIn<Ours, Theirs> = {
  [Key in keyof Ours & keyof Theirs]-?: Ours[Key] extends Theirs[Key] ? never : Key;
}[keyof Ours & keyof Theirs];
/** The fields that the official type always has and ours has not. */
type Lacks<Ours, Theirs> = Ours extends { type: infer Type }
  ? Exclude<Always<Extract<Theirs, { type: Type }>>, keyof Ours>
  : Exclude<Always<Theirs>, keyof Ours>;
type Always<Theirs> = { [Key in keyof Theirs]-?: object extends Pick<Theirs, Key> ? never : Key }[keyof Theirs];

type Same<Found, Expected> = [Found] extends [Expected] ? ([Expected] extends [Found] ? true : Found) : Found;
/** Compiles where the found exceptions are the expected ones, and else tells the found. */
type Expect<Result extends true> = Result;

/** In a list nobody reads, so that each check has its reason beside it. */
export type Checks = [
  // `usage` is null before the end and `user` when it was not given, as on the recorded wire; `service_tier` is read from
  // an upstream, which knows no other names.
  Expect<Same<Differs<Response, Responses.Response>, 'service_tier' | 'usage' | 'user'>>,
  Expect<Same<NonNullable<Response['usage']> extends Responses.ResponseUsage ? never : Usage, never>>,
  // `output_text` is made by the client; `access_programs` is on no recorded wire and not in the official document.
  Expect<Same<Lacks<Response, Responses.Response>, 'access_programs' | 'output_text'>>,

  Expect<Same<OutputItem extends Responses.ResponseOutputItem ? never : OutputItem, never>>,

  // A Response in an event differs as every other.
  Expect<Same<Differs<ResponseEvent, Responses.ResponseStreamEvent>, 'response'>>,
  Expect<Same<Lacks<ResponseEvent, Responses.ResponseStreamEvent>, never>>,

  // Typed as what a client may send; `status` and the parts of `content` are filled in, and nulls are left out, when it is stored, and the judge
  // of test/support/official.ts sees that they are.
  Expect<Same<Differs<InputItemResource, Responses.ResponseItem>, 'content' | 'namespace' | 'output' | 'status'>>,
  Expect<Same<Lacks<InputItemResource, Responses.ResponseItem>, never>>,

  // The ids of an empty page are null.
  Expect<Same<Differs<ListPage<Responses.ResponseItem>, OpenAI.Responses.ResponseItemList>, 'first_id' | 'last_id'>>,
  Expect<Same<Lacks<ListPage<Responses.ResponseItem>, OpenAI.Responses.ResponseItemList>, never>>,
  Expect<Same<Conversation extends OpenAI.Conversations.Conversation ? never : Conversation, never>>,
  Expect<
    Same<
      DeletedConversation extends OpenAI.Conversations.ConversationDeletedResource ? never : DeletedConversation,
      never
    >
  >,
  Expect<Same<InputTokens extends OpenAI.Responses.InputTokenCountResponse ? never : InputTokens, never>>,
  // Its output is items as they are stored.
  Expect<Same<Differs<Compaction, Responses.CompactedResponse>, 'output'>>,
  Expect<Same<Lacks<Compaction, Responses.CompactedResponse>, never>>,
  Expect<Same<Model extends OpenAI.Models.Model ? never : Model, never>>,
  Expect<Same<ErrorEnvelope['error'] extends OpenAI.ErrorObject ? never : ErrorEnvelope, never>>,

  // The other way round: whatever a program with the official types sends is read. What is not served is refused by
  // name: kinds of items, the choice of a tool that is not served, and how long a cache lives.
  Expect<
    Same<
      Differs<Responses.ResponseCreateParamsNonStreaming, CreateResponseBody>,
      'input' | 'prompt_cache_options' | 'tool_choice'
    >
  >,
  Expect<Same<Exclude<keyof Responses.ResponseCreateParamsNonStreaming, keyof CreateResponseBody>, never>>,
];
