/** Sends content chunk by chunk, whole or one range of it. */
import { create } from "@bufbuild/protobuf";
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import type { DownloadBPMNRequest } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Documents } from "./documents.ts";
import { contentDisposition, parseRange } from "./rules.ts";
import { chunkBytes } from "./store.ts";

/** @throws RpcError RESOURCE_NOT_FOUND, RANGE_NOT_SATISFIABLE. */
export async function* download(
  documents: Pick<Documents, "locate" | "readChunk">,
  request: Pick<DownloadBPMNRequest, "id" | "revision" | "range">,
  call: CallHead,
): AsyncGenerator<HttpBody> {
  const row = await documents.locate(request.id, request.revision, call);
  const headers = call.responseHeaders;
  headers.set("accept-ranges", "bytes");
  const asked = parseRange(request.range, row.size);
  if (asked === "unsatisfiable") {
    headers.set("content-range", `bytes */${row.size}`);
    throw new RpcError("out_of_range", {
      reason: "RANGE_NOT_SATISFIABLE",
      message: `range: the content has ${row.size} bytes`,
      metadata: { sizeBytes: String(row.size) },
    });
  }
  headers.set("etag", `"${row.digest}"`);
  headers.set("content-disposition", contentDisposition(`${row.id}.bpmn`));
  const { start, end } = asked ?? { start: 0, end: row.size };
  if (asked !== undefined) headers.set("content-range", `bytes ${start}-${end - 1}/${row.size}`);
  for (let part = Math.floor(start / chunkBytes); part * chunkBytes < end; part += 1) {
    const chunk = await documents.readChunk(row.digest, part, call);
    const from = Math.max(0, start - part * chunkBytes);
    yield create(HttpBodySchema, {
      contentType: "application/xml",
      data: chunk.subarray(from, end - part * chunkBytes),
    });
  }
}
