/** graphql-transport-ws, as its own library speaks it, over our engine. @see https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md */
import type { ExecutionArgs, ExecutionResult, GraphQLError } from "graphql";
import { type Context, makeServer, type Server } from "graphql-ws";
import type { Door } from "#rpc/door.ts";
import { maxCalls } from "../websocket/session.ts";
import { refused } from "./documents.ts";
import { type Engine, executeAndTell, subscribeAndTell } from "./engine.ts";
import { Operation, type OperationOptions } from "./operation.ts";

/** Of one socket: what its operations are given. */
export interface SocketContext {
  /** Of one that came just now. @param shown what the client said of itself with its first message. */
  operationOptions(shown: Readonly<Record<string, unknown>>): OperationOptions;
  /** An operation that is refused is no call: those who watch hear of it here. */
  refused(options: OperationOptions, errors: readonly GraphQLError[]): readonly GraphQLError[];
  /** Those that run, and their ids. */
  readonly operations: Map<Operation, string>;
  /** The library's own, once an operation came. */
  library?: Pick<Context, "subscriptions">;
}

export type SocketServer = Server<SocketContext>;

export interface SocketServerOptions {
  readonly door: Door;
  /** Longest silence of a socket before its first message, in milliseconds. Default 10 000. */
  readonly initMs?: number | undefined;
}

export function createSocketServer(
  engine: Engine,
  { door, initMs = 10_000 }: SocketServerOptions,
): SocketServer {
  return makeServer<Record<string, unknown>, SocketContext>({
    connectionInitWaitTimeout: initMs,
    execute: ((args: ExecutionArgs) => admitted(door, args, executeAndTell)) as never,
    subscribe: ((args: ExecutionArgs) => admitted(door, args, subscribeAndTell)) as never,
    onSubscribe: async (context, id, { query, variables, operationName }) => {
      const { extra, connectionParams = {} } = context;
      extra.library = context;
      const options = extra.operationOptions(connectionParams);
      if (extra.operations.size >= maxCalls) return extra.refused(options, tooMany().errors);
      const operation = new Operation(options);
      // Before it is waited for: it has its place on the socket.
      extra.operations.set(operation, id);
      const refuse = (errors: readonly GraphQLError[]): readonly GraphQLError[] => {
        extra.operations.delete(operation);
        const told = extra.refused(options, errors);
        operation.end();
        return told;
      };
      const asked = { query, variables: variables ?? undefined, operationName: operationName ?? undefined };
      try {
        await door.enter(options.entry);
        const ready = await door.run("graphql", () => engine.prepare(asked, false));
        if (ready.kind === "refused") return refuse(ready.errors);
        options.request.trace?.named(ready.operation, ready.name);
        return engine.argumentsOf(ready, operation);
      } catch (thrown) {
        return refuse([operation.refused(thrown)]);
      }
    },
    onComplete: ({ extra }, id) => endOf(extra, id),
  });
}

/** What does not run has a result that says why: what is thrown would close the socket. */
async function admitted<T>(
  door: Door,
  args: ExecutionArgs,
  run: (args: ExecutionArgs) => T | Promise<T>,
): Promise<T | ExecutionResult> {
  try {
    return await door.run("graphql", () => run(args));
  } catch (thrown) {
    return { errors: [(args.contextValue as Operation).refused(thrown)] };
  }
}

function endOf({ operations }: SocketContext, id: string): void {
  for (const [operation, its] of operations) {
    if (its !== id) continue;
    operations.delete(operation);
    operation.end();
  }
}

function tooMany() {
  return refused("resource_exhausted", {
    reason: "SOCKET_CALLS_LIMITED",
    message: `${maxCalls} operations are running on this socket; wait for one to end, or open another`,
  });
}
