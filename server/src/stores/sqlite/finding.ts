/** What is wrong with a data directory, in words without content. */
export type Finding = {
  /** The response or the conversation; undefined when it is the whole database. */
  id?: string;
  problem: string;
};
