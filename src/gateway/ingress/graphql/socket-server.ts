/** graphql-transport-ws, as its own library speaks it, over our engine. @see https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md */
import { type Context, makeServer, type Server } from "graphql-ws";
import { maxCalls } from "../websocket/session.ts";
import { refused } from "./documents.ts";
import { type Engine, executeAndTell, subscribeAndTell } from "./engine.ts";
import { Operation, type OperationOptions } from "./operation.ts";

/** Of one socket: what its operations are given. */
export interface SocketContext {
  /** @param shown what the client said of itself with its first message. */
  operationOptions(shown: Readonly<Record<string, unknown>>): OperationOptions;
  /** Those that run, and their ids. */
  readonly operations: Map<Operation, string>;
  /** The library's own, once an operation came. */
  library?: Pick<Context, "subscriptions">;
}

export type SocketServer = Server<SocketContext>;

/** @param initMs longest silence of a socket before its first message, in milliseconds. */
export function createSocketServer(engine: Engine, initMs = 10_000): SocketServer {
  return makeServer<Record<string, unknown>, SocketContext>({
    connectionInitWaitTimeout: initMs,
    execute: executeAndTell as never,
    subscribe: subscribeAndTell as never,
    onSubscribe: (context, id, { query, variables, operationName }) => {
      const { extra, connectionParams = {} } = context;
      extra.library = context;
      if (extra.operations.size >= maxCalls) return tooMany().errors;
      const ready = engine.prepare(
        { query, variables: variables ?? undefined, operationName: operationName ?? undefined },
        false,
      );
      if (ready.kind === "refused") return ready.errors;
      const operation = new Operation(extra.operationOptions(connectionParams));
      extra.operations.set(operation, id);
      return engine.argumentsOf(ready, operation);
    },
    onComplete: ({ extra }, id) => endOf(extra, id),
  });
}

function endOf({ operations }: SocketContext, id: string): void {
  for (const [operation, its] of operations) if (its === id) operations.delete(operation);
}

function tooMany() {
  return refused("resource_exhausted", {
    reason: "SOCKET_CALLS_LIMITED",
    message: `${maxCalls} operations are running on this socket; wait for one to end, or open another`,
  });
}
