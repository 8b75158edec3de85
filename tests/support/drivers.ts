/**
 * Clients of the echo service behind one interface, so that a test can be written once and run over every protocol. What speaks each is in
 * the files beside this one: `grpc-driver.ts`, `connect-driver.ts`, `rest-driver.ts`, `websocket-driver.ts`, `graphql-driver.ts`, `mcp-driver.ts`.
 */
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import type { Plan } from "./echo-service.ts";

export type Kind = "unary" | "server_stream" | "client_stream" | "bidi_stream";

export const methods: Readonly<Record<Kind, string>> = {
  unary: "Unary",
  server_stream: "ServerStream",
  client_stream: "ClientStream",
  bidi_stream: "BidiStream",
};

export interface OpenOptions {
  readonly kind: Kind;
  readonly id: string;
  readonly plan?: Plan;
  readonly timeoutMs?: number;
}

export interface End {
  readonly code: number;
  readonly message: string;
  readonly reason: string | undefined;
  /** Short names of the details' types, `ErrorInfo` and `RequestInfo` included. */
  readonly details: readonly string[];
}

export interface Running {
  /** A message with this text. */
  send(text: string): void;
  endSending(): void;
  /** Messages that flow control has let go. */
  readonly accepted: number;
  /** The text of the next message, undefined after the last one. Nothing is read off the socket unless asked for. */
  next(): Promise<string | undefined>;
  /** How it ended; reads what is left. */
  end(): Promise<End>;
  cancel(): void;
}

export interface Driver {
  open(options: OpenOptions): Running;
  close(): void;
}

/** `deflate` is spoken by clients alone: it has to be refused. */
export const compressions = ["identity", "gzip", "br", "deflate"] as const;
export type Compression = (typeof compressions)[number];

export interface DriverOptions {
  readonly port: number;
  /** Of what is sent. */
  readonly compression: Compression;
}

export const pack: Readonly<Record<Compression, (bytes: Uint8Array) => Buffer>> = {
  identity: (bytes) => Buffer.from(bytes),
  gzip: (bytes) => gzipSync(bytes, { level: 1 }),
  br: (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  deflate: (bytes) => deflateSync(bytes, { level: 1 }),
};

/** Headers are ASCII. */
export function planHeader(plan: Plan): string {
  return JSON.stringify(plan).replaceAll(
    /[^ -~]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export const ok: End = { code: 0, message: "", reason: undefined, details: [] };

/** Of `grpc-status-details-bin`. */
export function endOf(code: number, message: string, details: Uint8Array | undefined): End {
  if (code === 0) return ok;
  if (details === undefined) return { code, message, reason: undefined, details: [] };
  const status = fromBinary(StatusSchema, details);
  const info = status.details.find((detail) => detail.typeUrl.endsWith("ErrorInfo"));
  return {
    code,
    message,
    reason: info === undefined ? undefined : fromBinary(ErrorInfoSchema, info.value).reason,
    details: status.details.map((detail) => detail.typeUrl.split(".").at(-1) ?? ""),
  };
}

/** google.rpc.Status in ProtoJSON. */
export interface JsonStatus {
  readonly code: number;
  readonly message: string;
  readonly details?: readonly { readonly "@type": string; readonly reason?: string }[];
}

export function endOfJson({ code, message, details = [] }: JsonStatus): End {
  if (code === 0) return ok;
  return {
    ...{ code, message, reason: details[0]?.reason },
    details: details.map((detail) => detail["@type"].split(".").at(-1) ?? ""),
  };
}
