/** The gRPC half of `portico call`: any method of the contract, JSON translated to and from protobuf here. */

import type { Message } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { RpcError } from "#rpc/error.ts";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import type { CallRequest } from "./call-request.ts";
import { findMethod } from "./contract.ts";
import { CommandError, type ExitCode, type Terminal } from "./terminal.ts";

export interface GrpcCall {
  readonly catalog: Catalog;
  readonly method: string;
  /** host:port */
  readonly address: string;
  readonly request: CallRequest;
  readonly terminal: Terminal;
}

export async function callGrpc(call: GrpcCall): Promise<ExitCode> {
  const method = findMethod(call.catalog, call.method);
  const messages = parseMessages(method, call.request.messages);
  const client = new Client(call.address, credentials.createInsecure());
  try {
    await run(client, method, messages, call);
    return 0;
  } catch (error) {
    return fail(error, call);
  } finally {
    client.close();
  }
}

function parseMessages(method: Method, texts: readonly string[]): Message[] {
  const single = hasUnaryRequest(method.kind);
  if (single && texts.length > 1)
    throw new CommandError(2, `${method.name} takes one message, not ${texts.length}`);
  try {
    return (single && texts.length === 0 ? ["{}"] : texts).map((text) =>
      method.input.decode(Buffer.from(text), "json"),
    );
  } catch (error) {
    if (error instanceof RpcError) throw new CommandError(2, `--data: ${error.message}`);
    throw error;
  }
}

function run(
  client: Client,
  method: Method,
  messages: readonly Message[],
  { request, terminal }: GrpcCall,
): Promise<void> {
  const metadata = new Metadata();
  for (const [name, value] of request.headers)
    metadata.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  const options = { deadline: Date.now() + request.timeoutSeconds * 1000 };
  const serialize = (message: Message): Buffer => Buffer.from(method.input.encode(message, "proto"));
  const deserialize = (bytes: Buffer): Message => method.output.decode(bytes, "proto");
  const print = (message: Message): void => {
    terminal.out.write(`${Buffer.from(method.output.encode(message, "json")).toString("utf8")}\n`);
  };
  return new Promise((resolve, reject) => {
    const done = (error: ServiceError | null, message?: Message): void => {
      if (message !== undefined) print(message);
      if (error === null) resolve();
      else reject(error);
    };
    const [first] = messages;
    if (method.kind === "unary" && first !== undefined) {
      client.makeUnaryRequest(method.path, serialize, deserialize, first, metadata, options, done);
      return;
    }
    if (method.kind === "server_stream" && first !== undefined) {
      follow(
        client.makeServerStreamRequest(method.path, serialize, deserialize, first, metadata, options),
        print,
        done,
      );
      return;
    }
    const stream = hasUnaryReply(method.kind)
      ? client.makeClientStreamRequest(method.path, serialize, deserialize, metadata, options, done)
      : follow(
          client.makeBidiStreamRequest(method.path, serialize, deserialize, metadata, options),
          print,
          done,
        );
    for (const message of messages) stream.write(message);
    stream.end();
  });
}

function follow<S extends NodeJS.ReadableStream>(
  stream: S,
  print: (message: Message) => void,
  done: (error: ServiceError | null) => void,
): S {
  stream
    .on("data", print)
    .on("error", done)
    .on("end", () => done(null));
  return stream;
}

function fail(error: unknown, call: GrpcCall): ExitCode {
  if (!isServiceError(error)) throw error;
  if (error.code === status.UNAVAILABLE && error.details.startsWith("No connection established")) {
    throw new CommandError(6, `${call.address} does not answer; is portico serving there?`);
  }
  call.terminal.err.write(`${status[error.code]}: ${error.details}\n`);
  printDetails(error, call);
  const known: Readonly<Partial<Record<status, ExitCode>>> = {
    [status.UNAUTHENTICATED]: 3,
    [status.PERMISSION_DENIED]: 3,
    [status.NOT_FOUND]: 4,
    [status.ALREADY_EXISTS]: 5,
    [status.ABORTED]: 5,
    [status.UNAVAILABLE]: 6,
    [status.DEADLINE_EXCEEDED]: 6,
  };
  return known[error.code] ?? 1;
}

/** The whole status as JSON, where the server sent one. */
function printDetails(error: ServiceError, call: GrpcCall): void {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const desc = call.catalog.registry.getMessage("google.rpc.Status");
  if (!Buffer.isBuffer(bytes) || desc === undefined) return;
  const type = call.catalog.codec.typeOf(desc);
  call.terminal.err.write(
    `${Buffer.from(type.encode(type.decode(bytes, "proto"), "json")).toString("utf8")}\n`,
  );
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}
