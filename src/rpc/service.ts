/**
 * How a service that runs in this process is written: one function a method, named like the generated method, messages
 * in and messages out. It does not know which protocol called it.
 */
import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { CallHead } from "./call.ts";

/** What a handler may answer: a whole message, or the fields of one. */
type Out<M extends DescMethod> = MessageShape<M["output"]> | MessageInitShape<M["output"]>;
type In<M extends DescMethod> = MessageShape<M["input"]>;

/** The function that serves one method; its shape follows the method's kind. */
export type MethodImplementation<M extends DescMethod> = M extends { methodKind: "unary" }
  ? (request: In<M>, call: CallHead) => Out<M> | Promise<Out<M>>
  : M extends { methodKind: "server_streaming" }
    ? (request: In<M>, call: CallHead) => AsyncIterable<Out<M>>
    : M extends { methodKind: "client_streaming" }
      ? (requests: AsyncIterable<In<M>>, call: CallHead) => Promise<Out<M>>
      : (requests: AsyncIterable<In<M>>, call: CallHead) => AsyncIterable<Out<M>>;

/** Every method of a service: a missing one does not compile. */
export type ServiceImplementation<S extends DescService> = {
  readonly [K in keyof S["method"]]: MethodImplementation<S["method"][K]>;
};

/** A service with its implementation, as `compose.ts` hands it to dispatch. */
export interface HostedService {
  readonly desc: DescService;
  readonly implementation: Readonly<Record<string, unknown>>;
}

export function hostService<S extends DescService>(
  desc: S,
  implementation: ServiceImplementation<S>,
): HostedService {
  return { desc, implementation: implementation as Readonly<Record<string, unknown>> };
}
