/** The other end of the connection, as the socket names it. */
export interface Peer {
  /** IP address without port or zone. */
  readonly address: string;
  readonly port: number;
  /** URIs of the client certificate that the connection was made with; absent: it has none. */
  readonly certificates?: readonly string[];
  /** Of a connection with many calls, where a credential that can be shown once is shown by each of them: what they have in common. */
  readonly connection?: object;
}

/** The protocol a call came in by; a label in logs and metrics. */
export type Protocol = "grpc" | "grpc-web" | "connect" | "rest" | "websocket" | "graphql" | "mcp";
