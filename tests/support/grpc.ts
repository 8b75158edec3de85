/** grpc-js as a client of any method: bytes in, bytes out, messages by the generated schemas. */
import {
  create,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

export function connect(port: number): Client {
  return new Client(`127.0.0.1:${port}`, credentials.createInsecure());
}

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string | Buffer>>;
  readonly timeoutMs?: number;
}

function parts<M extends DescMethod>(method: M, options: CallOptions) {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    serialize: (message: MessageInitShape<M["input"]>) =>
      Buffer.from(toBinary(method.input, create(method.input, message))),
    deserialize: (bytes: Buffer) => fromBinary(method.output, bytes) as MessageShape<M["output"]>,
    metadata,
    call: { deadline: Date.now() + (options.timeoutMs ?? 5000) },
  };
}

export function unary<M extends DescMethod>(
  client: Client,
  method: M,
  message: MessageInitShape<M["input"]>,
  options: CallOptions = {},
): Promise<MessageShape<M["output"]>> {
  const { path, serialize, deserialize, metadata, call } = parts(method, options);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      serialize,
      deserialize,
      message,
      metadata,
      call,
      (error: ServiceError | null, answer?: MessageShape<M["output"]>) => {
        if (error !== null || answer === undefined) reject(error ?? new Error("no answer"));
        else resolve(answer);
      },
    );
  });
}

export async function serverStream<M extends DescMethod>(
  client: Client,
  method: M,
  message: MessageInitShape<M["input"]>,
  options: CallOptions = {},
): Promise<MessageShape<M["output"]>[]> {
  const { path, serialize, deserialize, metadata, call } = parts(method, options);
  const answers: MessageShape<M["output"]>[] = [];
  for await (const answer of client.makeServerStreamRequest(
    path,
    serialize,
    deserialize,
    message,
    metadata,
    call,
  ))
    answers.push(answer as MessageShape<M["output"]>);
  return answers;
}

export function clientStream<M extends DescMethod>(
  client: Client,
  method: M,
  messages: readonly MessageInitShape<M["input"]>[],
  options: CallOptions = {},
): Promise<MessageShape<M["output"]>> {
  const { path, serialize, deserialize, metadata, call } = parts(method, options);
  return new Promise((resolve, reject) => {
    const stream = client.makeClientStreamRequest(
      path,
      serialize,
      deserialize,
      metadata,
      call,
      (error: ServiceError | null, answer?: MessageShape<M["output"]>) => {
        if (error !== null || answer === undefined) reject(error ?? new Error("no answer"));
        else resolve(answer);
      },
    );
    for (const message of messages) stream.write(message);
    stream.end();
  });
}
