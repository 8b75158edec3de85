/** Puts an upload together: metadata first or not at all, then chunks, hashed as they come and counted against the limit. */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  type UploadBPMNRequest,
  type UploadBPMNRequest_UploadMetadata,
  UploadBPMNRequest_UploadMetadataSchema,
} from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { demand } from "#rpc/resource.ts";

export interface Upload {
  readonly metadata: UploadBPMNRequest_UploadMetadata;
  readonly bytes: Uint8Array;
  readonly digest: string;
}

/** @throws RpcError PAYLOAD_TOO_LARGE as soon as the limit is passed; DIGEST_MISMATCH at the end. */
export async function collectUpload(
  requests: AsyncIterable<UploadBPMNRequest>,
  maxBytes: number,
): Promise<Upload> {
  const hash = createHash("sha256");
  const file = new GrowingFile();
  let metadata = create(UploadBPMNRequest_UploadMetadataSchema);
  let first = true;
  for await (const { payload } of requests) {
    if (payload.case === "metadata") {
      if (!first) demand([{ field: "metadata", description: "must be in the first message" }]);
      metadata = payload.value;
    } else if (payload.case === "chunk") {
      if (file.size + payload.value.length > maxBytes) throw tooLarge(maxBytes);
      hash.update(payload.value);
      file.append(payload.value);
    }
    first = false;
  }
  if (file.size === 0) demand([{ field: "chunk", description: "the upload is empty; send the file" }]);
  const digest = `sha256:${hash.digest("hex")}`;
  if (metadata.digest !== "" && metadata.digest !== digest) throw mismatch(metadata.digest, digest);
  return { metadata, digest, bytes: file.end() };
}

/** What the memory of a file grows by: the most that it is larger than the file. */
const stepBytes = 512 * 1024;

/** One piece of memory that grows in place: a file is held once, and can be given to the worker thread as it is. */
class GrowingFile {
  #buffer = new ArrayBuffer(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  append(chunk: Uint8Array): void {
    const needed = this.#size + chunk.length;
    if (needed > this.#buffer.byteLength)
      this.#buffer = this.#buffer.transfer(Math.ceil(needed / stepBytes) * stepBytes);
    new Uint8Array(this.#buffer, this.#size).set(chunk);
    this.#size = needed;
  }

  end(): Uint8Array {
    return new Uint8Array(this.#buffer.transfer(this.#size));
  }
}

function tooLarge(maxBytes: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `the file is larger than the ${maxBytes} bytes that are allowed`,
    metadata: { limitBytes: String(maxBytes) },
  });
}

function mismatch(announced: string, actual: string): RpcError {
  return new RpcError("invalid_argument", {
    reason: "DIGEST_MISMATCH",
    message: "metadata.digest: is not the digest of the bytes that came; send the file again",
    metadata: { field: "metadata.digest", announced: announced.slice(0, 100), actual },
  });
}
