/**
 * Requests that the contract does not allow: all that is wrong with one is said at once, each field in the caller's own spelling.
 *
 * Comes after authorization: what a stranger sent is not looked at. Messages of a stream are checked one by one as the handler pulls them.
 * What checks them is loaded with the first call that has something to be checked: 20 MB and 0.1 s that no start should wait for.
 */
import { type DescMessage, hasOption, type Registry } from "@bufbuild/protobuf";
import { field, message, oneof } from "#gen/buf/validate/validate_pb.ts";
import type { Call, StreamCall, UnaryCall } from "#rpc/call.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import { hasUnaryRequest } from "#rpc/method.ts";
import type { Payload } from "#rpc/payload.ts";
import { demand } from "#rpc/resource.ts";
import type { Check, Spelling } from "./constraints.ts";

export interface ValidateOptions {
  /** Of the messages in requests. */
  readonly registry: Registry;
}

export function createValidate({ registry }: ValidateOptions): Interceptor {
  const load = constraintsOf(registry);
  return (next, method) => {
    const { desc } = method.input;
    if (!isConstrained(desc)) return next;
    let check: Check | undefined;
    const ready = async (): Promise<Check> => (check ??= (await load())(desc));
    return hasUnaryRequest(method.kind)
      ? (call) => checked(check ?? ready(), next, call as UnaryCall)
      : async (call) => next(checkedStream(await ready(), call as StreamCall));
  };
}

/** Loads what checks constraints, once. */
export function constraintsOf(registry: Registry): () => Promise<(desc: DescMessage) => Check> {
  let loaded: Promise<(desc: DescMessage) => Check> | undefined;
  return () => {
    loaded ??= import("./constraints.ts").then(({ createConstraints }) => createConstraints(registry));
    return loaded;
  };
}

/** Whether the contract says anything about a message or what is in it. */
export function isConstrained(desc: DescMessage, seen = new Set<string>()): boolean {
  if (seen.has(desc.typeName)) return false;
  seen.add(desc.typeName);
  return (
    hasOption(desc, message) ||
    desc.oneofs.some((one) => hasOption(one, oneof)) ||
    desc.fields.some(
      (one) => hasOption(one, field) || (one.message !== undefined && isConstrained(one.message, seen)),
    )
  );
}

function checked(check: Check | Promise<Check>, next: Handler, call: UnaryCall): ReturnType<Handler> {
  if (check instanceof Promise) return check.then((made) => checked(made, next, call));
  demand(check(call.request.message(), spellingOf(call)));
  return next(call);
}

function checkedStream(check: Check, call: StreamCall): StreamCall {
  call.requests = checkedEach(check, call.requests, spellingOf(call));
  return call;
}

async function* checkedEach(
  check: Check,
  requests: AsyncIterable<Payload>,
  spelling: Spelling,
): AsyncGenerator<Payload> {
  for await (const request of requests) {
    demand(check(request.message(), spelling));
    yield request;
  }
}

/** Callers of gRPC write the contract's names, everybody else those of JSON. */
function spellingOf(call: Call): Spelling {
  return call.protocol === "grpc" || call.protocol === "grpc-web" ? "proto" : "json";
}
