/** The listener's limits. What each guards, its range and its reason are with the options (docs/reference/configuration.md). */
export interface ListenerLimits {
  /** Size of a request's headers in bytes, names and values. Default 16 384. */
  readonly maxHeaderBytes: number;
  /** Number of headers of a request. Default 100. */
  readonly maxHeaders: number;
  /** Length of path and query in bytes. Default 8192. */
  readonly maxUrlBytes: number;
  /** HTTP/1: longest time until the headers are complete, in milliseconds. Default 10 000. */
  readonly headersTimeoutMs: number;
  /** Longest time until a whole request is here, in milliseconds; over HTTP/2 of one that is read as a whole. Default 30 000. */
  readonly requestTimeoutMs: number;
  /** HTTP/1: how often those two are looked at, in milliseconds; as often as they are long where that is less. Default 1000. */
  readonly timeoutCheckMs: number;
  /** HTTP/1: how long an idle connection is kept, in milliseconds. Default 5000. */
  readonly keepAliveMs: number;
  /** HTTP/1: requests of one connection; 0: any number. Default 1000. */
  readonly maxRequestsPerConnection: number;
  /** How long an answer waits for a client that reads none of it, in milliseconds. Default 60 000. */
  readonly stalledTimeoutMs: number;
  /** Streams at once on one HTTP/2 connection. Default 100; node:http2 has no limit of its own. */
  readonly http2MaxStreams: number;
  /** What may be sent of a stream's body, and of all of a connection's, before it is read, in bytes. Defaults 65 536 and 1 048 576. */
  readonly http2StreamWindowBytes: number;
  readonly http2ConnectionWindowBytes: number;
  /** Streams refused for want of memory that a connection survives. Default 20. */
  readonly http2MaxRejectedStreams: number;
  /** What node and nghttp2 may hold for a connection, in megabytes. Default 10. */
  readonly http2MaxSessionMemory: number;
  /** Frames against the rules that a connection survives. Default 50. */
  readonly http2MaxInvalidFrames: number;
  /** Resets at once, and how many a second come back. Defaults 200 and 33. */
  readonly http2ResetBurst: number;
  readonly http2ResetsPerSecond: number;
  /** PING and SETTINGS frames within a time in milliseconds. Defaults 500 and 10 000. */
  readonly http2MaxControlFrames: number;
  readonly http2ControlWindowMs: number;
  /** Bytes a second that belong to no request. Default 131 072. */
  readonly http2MaxIdleBytes: number;
  /** HTTP/2: longest time from connecting to the first request, in milliseconds. Default 5000. */
  readonly http2FirstRequestTimeoutMs: number;
  /** HTTP/2: longest time of one header block, in milliseconds. Default 5000. */
  readonly http2HeaderBlockTimeoutMs: number;
  /** How long a connection without streams is kept, in milliseconds, by port. Defaults 60 000 and 300 000. */
  readonly http2IdleTimeoutMs: number;
  readonly grpcIdleTimeoutMs: number;
  /** HTTP/2: silence with open streams after which a client is pinged, in milliseconds. Default 60 000. */
  readonly http2PingAfterMs: number;
  /** HTTP/2: how long the answer to that PING may take, in milliseconds. Default 20 000. */
  readonly http2PingTimeoutMs: number;
  /** HTTP/2: age at which a connection is told to go, in milliseconds; 0: none. Default 1 800 000. */
  readonly http2MaxAgeMs: number;
  /** HTTP/2: how much sooner or later than that, at random, in percent. Default 10. */
  readonly http2AgeJitterPercent: number;
  /** HTTP/2: how long calls of a connection of that age may go on, in milliseconds. Default 30 000. */
  readonly http2AgeGraceMs: number;
  /** Drain: how long a client has to see that it should go elsewhere before new streams are refused, in milliseconds. Default 600. */
  readonly drainNoticeMs: number;
  /** Drain: how long running calls may go on, in milliseconds. Default 30 000. */
  readonly drainGraceMs: number;
}

export const defaultLimits: ListenerLimits = {
  maxHeaderBytes: 16_384,
  maxHeaders: 100,
  maxUrlBytes: 8192,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  timeoutCheckMs: 1000,
  keepAliveMs: 5000,
  maxRequestsPerConnection: 1000,
  stalledTimeoutMs: 60_000,
  http2MaxStreams: 100,
  http2StreamWindowBytes: 65_536,
  http2ConnectionWindowBytes: 1_048_576,
  http2MaxRejectedStreams: 20,
  http2MaxSessionMemory: 10,
  http2MaxInvalidFrames: 50,
  http2ResetBurst: 200,
  http2ResetsPerSecond: 33,
  http2MaxControlFrames: 500,
  http2ControlWindowMs: 10_000,
  http2MaxIdleBytes: 131_072,
  http2FirstRequestTimeoutMs: 5000,
  http2HeaderBlockTimeoutMs: 5000,
  http2IdleTimeoutMs: 60_000,
  grpcIdleTimeoutMs: 300_000,
  http2PingAfterMs: 60_000,
  http2PingTimeoutMs: 20_000,
  http2MaxAgeMs: 1_800_000,
  http2AgeJitterPercent: 10,
  http2AgeGraceMs: 30_000,
  drainNoticeMs: 600,
  drainGraceMs: 30_000,
};
