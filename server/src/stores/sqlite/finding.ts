/** What is wrong with a data directory, in words without content. */
export type Finding = {
  /** Of the response, conversation, endpoint or delivery; undefined when it is the whole database. */
  id?: string;
  problem: string;
  /** Whether a DELETE of it is one way out. */
  deletable?: boolean;
};
