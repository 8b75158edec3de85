/** A method, compiled once at load from its descriptor and shared by every protocol and policy. */
import type { DescMethod } from "@bufbuild/protobuf";
import type { MessageType } from "./payload.ts";

export type MethodKind = "unary" | "server_stream" | "client_stream" | "bidi_stream";

export interface Method {
  /** Full name with a slash: `portico.bpmn.v1.BPMNService/GetBPMN`. */
  readonly name: string;
  /** The gRPC path: `/portico.bpmn.v1.BPMNService/GetBPMN`. */
  readonly path: string;
  /** `portico.bpmn.v1.BPMNService` */
  readonly service: string;
  readonly kind: MethodKind;
  readonly desc: DescMethod;
  readonly input: MessageType;
  readonly output: MessageType;
  /** From `idempotency_level = NO_SIDE_EFFECTS`: may be sent by GET, repeated and cached. */
  readonly sideEffectFree: boolean;
}

/** Whether the caller sends exactly one message. */
export function hasUnaryRequest(kind: MethodKind): boolean {
  return kind === "unary" || kind === "server_stream";
}

/** Whether the reply is exactly one message. */
export function hasUnaryReply(kind: MethodKind): boolean {
  return kind === "unary" || kind === "client_stream";
}
