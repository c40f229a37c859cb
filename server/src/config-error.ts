/** What is wrong with the configuration, in words for whoever wrote it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export type Environment = Record<string, string | undefined>;
