/**
 * What happens to what clients say (design.md §9). `standard`: kept as long as `store` and `retention.response` say.
 * `modified_abuse_monitoring`: the same; that no content reaches a log is promised. `zero_data_retention`: nothing is
 * stored but what a background response needs until shortly after its end, sealed with a key that is destroyed then.
 */
export const RETENTION_MODES = ['standard', 'modified_abuse_monitoring', 'zero_data_retention'] as const;
export type RetentionMode = (typeof RETENTION_MODES)[number];
