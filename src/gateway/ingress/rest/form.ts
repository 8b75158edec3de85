/**
 * `multipart/form-data` part by part: the fields, then one file, which is never held as a whole.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7578
 */
import { Readable } from "node:stream";
import type { BusboyFileStream, BusboyHeaders } from "@fastify/busboy";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Exchange } from "../exchange.ts";

const maxFields = 100;
const maxFieldBytes = 64 * 1024;

export interface Form {
  /** As a query: what binds queries binds them too. */
  readonly fields: string;
  /** @throws RpcError where the form goes on behind its file, or breaks off. */
  file(): AsyncIterable<Uint8Array>;
}

/** Reads up to the file. @throws RpcError MESSAGE_MALFORMED, PAYLOAD_TOO_LARGE. */
export async function openForm(exchange: Exchange): Promise<Form> {
  const parser = await makeParser(exchange);
  const fields = new URLSearchParams();
  let failure: RpcError | undefined;
  let file: BusboyFileStream | undefined;
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const { promise: over, resolve: finish } = Promise.withResolvers<void>();
  const fail = (error: RpcError): void => {
    failure ??= error;
    file?.destroy();
    arrive();
    finish();
  };
  parser.on("field", (name, value, nameTruncated, valueTruncated) => {
    if (file !== undefined) fail(malformed(`the field "${name.slice(0, 100)}" has to come before the file`));
    else if (nameTruncated || valueTruncated)
      fail(tooLarge(`the field "${name.slice(0, 100)}"`, maxFieldBytes));
    else fields.append(name, value);
  });
  parser.on("file", (_name, stream) => {
    file = stream;
    stream.on("error", (error) => fail(toRpcError(error)));
    arrive();
  });
  for (const limit of ["partsLimit", "filesLimit", "fieldsLimit"] as const)
    parser.on(limit, () => fail(malformed(`a form has one file and at most ${maxFields} fields`)));
  parser.on("error", () => fail(malformed("the form breaks off or is none")));
  parser.on("finish", () => {
    if (file === undefined) fail(malformed("the form has no file"));
    finish();
  });
  const body = Readable.from(exchange.chunks(), { objectMode: false });
  body.on("error", (error) => fail(toRpcError(error)));
  body.pipe(parser);
  await arrived;
  if (failure !== undefined) throw failure;
  const read = async function* (): AsyncGenerator<Uint8Array> {
    try {
      if (file !== undefined) for await (const chunk of file) yield chunk as Uint8Array;
      await over;
    } catch (thrown) {
      throw failure ?? thrown;
    } finally {
      body.destroy();
    }
    if (failure !== undefined) throw failure;
  };
  return { fields: fields.toString(), file: read };
}

/** Loads the library: few processes are sent forms. */
async function makeParser(
  exchange: Exchange,
): Promise<InstanceType<typeof import("@fastify/busboy").Busboy>> {
  const { Busboy } = await import("@fastify/busboy");
  try {
    return new Busboy({
      headers: exchange.headers as BusboyHeaders,
      limits: {
        files: 1,
        fields: maxFields,
        parts: maxFields + 1,
        fieldSize: maxFieldBytes,
        headerPairs: 20,
      },
    });
  } catch {
    throw malformed("content-type: multipart/form-data needs its boundary");
  }
}

function malformed(message: string): RpcError {
  return new RpcError("invalid_argument", { reason: "MESSAGE_MALFORMED", message });
}

function tooLarge(what: string, limit: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `${what} is larger than ${limit} bytes`,
    metadata: { limitBytes: String(limit) },
  });
}
