/**
 * Where requests come in: one folder per protocol in front of one listener.
 *
 * The listener turns sockets into exchanges, `classify` picks the protocol, that protocol's adapter turns exchanges into calls
 * and replies into answers. Protocols are spoken here and nothing is decided: who may, how often and what happens is
 * dispatch's business. Every failure ends in an answer or a closed stream, never in an exception.
 */
export type { Adapters } from "./classify.ts";
export { createConnect } from "./connect/connect.ts";
export type { Adapter, Exchange } from "./exchange.ts";
export { createGraphql, graphqlPaths } from "./graphql/graphql.ts";
export { createGrpc } from "./grpc/grpc.ts";
export { createGrpcWeb } from "./grpc-web/grpc-web.ts";
export type { ListenerLimits } from "./limits.ts";
export { type Listener, listen } from "./listener.ts";
export { createMcp, mcpPaths } from "./mcp/mcp.ts";
export { createMount } from "./pages/mount.ts";
export { createPages, pagePaths } from "./pages/pages.ts";
export { reasons } from "./reasons.ts";
export { createRest } from "./rest/rest.ts";
export { createWebSockets } from "./websocket/websocket.ts";
