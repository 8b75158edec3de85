/** What the page of grpc-web.test.ts runs: gRPC-Web's own client and Connect's, bundled for the browser. */
import { create, type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GrpcWebClientBase, MethodDescriptor, MethodType, type RpcError } from "grpc-web";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { EventService } from "#gen/portico/events/v1/events_pb.ts";

export interface Seen {
  readonly listed: number;
  readonly subject: string;
  readonly failed: { readonly code: number; readonly message: string; readonly reason: string };
}

/** What protoc-gen-grpc-web would have written. */
function descriptorOf(method: DescMethod): MethodDescriptor<Message, Message> {
  const type = method.methodKind === "unary" ? MethodType.UNARY : MethodType.SERVER_STREAMING;
  return new MethodDescriptor<Message, Message>(
    `/${method.parent.typeName}/${method.name}`,
    type,
    Object as unknown as new () => Message,
    Object as unknown as new () => Message,
    (message: Message) => toBinary(method.input, message),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
}

/** @param format this client can read streams as `text` alone; with `binary` the subject stays empty. */
export async function throughGrpcWeb(base: string, key: string, format: "text" | "binary"): Promise<Seen> {
  const client = new GrpcWebClientBase({ format });
  const metadata = { "x-api-key": key };
  const unary = (method: DescMethod, fields: Record<string, unknown>): Promise<Message> =>
    client.unaryCall(
      `${base}/${method.parent.typeName}/${method.name}`,
      create(method.input, fields),
      metadata,
      descriptorOf(method),
    );
  const list = (await unary(BPMNService.method.listBPMN, {})) as Message & { documents: unknown[] };
  const failure = await unary(BPMNService.method.getBPMN, { id: "none" }).then(
    () => undefined,
    (error: RpcError) => error,
  );
  const details = failure?.metadata["grpc-status-details-bin"] ?? "";
  const status = fromBinary(StatusSchema, base64Decode(details));
  const subject =
    format === "binary"
      ? ""
      : await new Promise<string>((resolve, reject) => {
          const method = EventService.method.subscribe;
          const stream = client.serverStreaming(
            `${base}/${method.parent.typeName}/${method.name}`,
            create(method.input, { topics: ["bpmn/*"], after: "0" }),
            metadata,
            descriptorOf(method),
          );
          stream.on("data", (event) => {
            stream.cancel();
            resolve((event as Message & { subject: string }).subject);
          });
          stream.on("error", reject);
        });
  const reason = status.details[0];
  return {
    listed: list.documents.length,
    subject,
    failed: {
      code: failure?.code ?? 0,
      message: failure?.message ?? "",
      reason: reason === undefined ? "" : fromBinary(ErrorInfoSchema, reason.value).reason,
    },
  };
}

export async function throughConnectWeb(base: string, key: string): Promise<Seen> {
  const transport = createGrpcWebTransport({ baseUrl: base });
  const headers = { "x-api-key": key };
  const list = await createClient(BPMNService, transport).listBPMN({}, { headers });
  const failure = await createClient(BPMNService, transport)
    .getBPMN({ id: "none" }, { headers })
    .then(
      () => new ConnectError("it did not fail", Code.Unknown),
      (error: unknown) => ConnectError.from(error),
    );
  let subject = "";
  const events = createClient(EventService, transport).subscribe(
    { topics: ["bpmn/*"], after: "0" },
    { headers },
  );
  for await (const event of events) {
    subject = event.subject;
    break;
  }
  return {
    listed: list.documents.length,
    subject,
    failed: {
      code: failure.code,
      message: failure.rawMessage,
      reason: failure.findDetails(ErrorInfoSchema)[0]?.reason ?? "",
    },
  };
}
