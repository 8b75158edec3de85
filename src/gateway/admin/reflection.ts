/**
 * Server reflection, v1 and v1alpha. Files are sent as the bytes they were loaded from: decoding and encoding them again
 * would lose options that this program does not know.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */
import { create, type FileRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import type { Catalog, DescriptorFile } from "#gateway/catalog/catalog.ts";
import {
  type ServerReflectionRequest,
  ServerReflectionResponseSchema,
  ServerReflection as V1,
} from "#gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflection as V1Alpha,
  type ServerReflectionResponse as V1AlphaResponse,
} from "#gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { codes } from "#rpc/code.ts";
import { type HostedService, hostService } from "#rpc/service.ts";

/** @param hosted names of the services to list. */
export function createReflection(catalog: Catalog, hosted: readonly string[]): HostedService[] {
  const known: Known = { files: catalog.files, hosted, registry: catalog.registry };
  const v1 = hostService(V1, { serverReflectionInfo: (requests) => answer(requests, known) });
  // The two versions are the same messages under two package names.
  const v1alpha = hostService(V1Alpha, {
    serverReflectionInfo: (requests) =>
      answer(
        requests as unknown as AsyncIterable<ServerReflectionRequest>,
        known,
      ) as unknown as AsyncIterable<V1AlphaResponse>,
  });
  return [v1, v1alpha];
}

async function* answer(requests: AsyncIterable<ServerReflectionRequest>, known: Known) {
  for await (const request of requests) {
    const messageResponse = respond(request.messageRequest, known);
    yield create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse,
    });
  }
}

type Response = NonNullable<
  Exclude<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"], undefined>
>;

interface Known {
  readonly files: ReadonlyMap<string, DescriptorFile>;
  readonly hosted: readonly string[];
  readonly registry: FileRegistry;
}

function respond(request: ServerReflectionRequest["messageRequest"], known: Known): Response {
  switch (request.case) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: known.hosted.map((name) => ({ name })) },
      };
    case "fileByFilename":
      return fileResponse(request.value, known);
    case "fileContainingSymbol":
      return fileResponse(fileOfSymbol(request.value, known.registry), known);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = request.value;
      const message = known.registry.getMessage(containingType);
      const extension =
        message === undefined ? undefined : known.registry.getExtensionFor(message, extensionNumber);
      return fileResponse(extension === undefined ? undefined : `${extension.file.name}.proto`, known);
    }
    case "allExtensionNumbersOfType":
      return extensionNumbers(request.value, known);
    case undefined:
      return failure("invalid_argument", "the request asks for nothing");
  }
}

/** A symbol is a message, enum, service or extension, or a member of one. */
function fileOfSymbol(symbol: string, registry: FileRegistry): string | undefined {
  const desc = registry.get(symbol) ?? registry.get(symbol.slice(0, symbol.lastIndexOf(".")));
  return desc === undefined ? undefined : `${desc.file.name}.proto`;
}

/** The file with everything it imports, each once. */
function fileResponse(name: string | undefined, known: Known): Response {
  if (name === undefined || !known.files.has(name))
    return failure("not_found", "there is no such file or symbol");
  const found = new Map<string, Uint8Array>();
  const visit = (one: string): void => {
    const file = known.files.get(one);
    if (file === undefined || found.has(one)) return;
    found.set(one, file.bytes);
    for (const dependency of file.proto.dependency) visit(dependency);
  };
  visit(name);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: [...found.values()] } };
}

function extensionNumbers(typeName: string, known: Known): Response {
  if (known.registry.getMessage(typeName) === undefined)
    return failure("not_found", "there is no such message");
  const numbers = [...known.registry].flatMap((desc) =>
    desc.kind === "extension" && desc.extendee.typeName === typeName ? [desc.number] : [],
  );
  return {
    case: "allExtensionNumbersResponse",
    value: { baseTypeName: typeName, extensionNumber: numbers.sort((a, b) => a - b) },
  };
}

function failure(code: "not_found" | "invalid_argument", errorMessage: string): Response {
  return { case: "errorResponse", value: { errorCode: codes[code].number, errorMessage } };
}
