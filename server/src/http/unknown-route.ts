/** Of a URL that no route has. */
export const UNKNOWN_ROUTE = 'unknown';
