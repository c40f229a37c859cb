/** `generic` is the subset that every server knows; `openai` is what OpenAI and Azure have in addition. */
export type Dialect = 'generic' | 'openai';
