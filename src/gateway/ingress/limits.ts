/** The listener's limits: unit, default and reason of each. Tests lower them; operators do not need to. */
export interface ListenerLimits {
  /** Streams at once on one HTTP/2 connection. Default 100; node:http2 has no limit of its own. */
  readonly maxConcurrentStreams: number;
  /** Size of a request's headers in bytes, names and values. Default 16 384. */
  readonly maxHeaderBytes: number;
  /** Number of headers of a request. Default 100. */
  readonly maxHeaders: number;
  /** Length of path and query in bytes. Default 8192. */
  readonly maxUrlBytes: number;
  /** HTTP/1: longest time until the headers are complete, in milliseconds. Default 10 000. */
  readonly headersTimeoutMs: number;
  /** HTTP/1: longest time until the whole request is here, in milliseconds. Default 30 000. */
  readonly requestTimeoutMs: number;
  /** HTTP/1: how long an idle connection is kept, in milliseconds. Default 5000. */
  readonly keepAliveTimeoutMs: number;
  /** Longest silence after connecting, and HTTP/2's longest time to its first request, in milliseconds. Default 5000. */
  readonly firstRequestTimeoutMs: number;
  /** HTTP/2: how long a connection without streams is kept, in milliseconds. Default 300 000. */
  readonly idleSessionMs: number;
  /** Drain: how long a client has to see that it should go elsewhere before new streams are refused, in milliseconds. Default 600. */
  readonly drainNoticeMs: number;
  /** Drain: how long running calls may go on, in milliseconds. Default 30 000. */
  readonly drainGraceMs: number;
}

export const defaultLimits: ListenerLimits = {
  maxConcurrentStreams: 100,
  maxHeaderBytes: 16_384,
  maxHeaders: 100,
  maxUrlBytes: 8192,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 5000,
  firstRequestTimeoutMs: 5000,
  idleSessionMs: 300_000,
  drainNoticeMs: 600,
  drainGraceMs: 30_000,
};
