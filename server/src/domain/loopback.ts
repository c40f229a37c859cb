/** Whether a host name or address means this machine and can't be reached from another (RFC 1122 §3.2.1.3, RFC 6761). */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}
