/** Sends content chunk by chunk, whole or one range of it. */
import { create } from "@bufbuild/protobuf";
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { contentDisposition, parseRange } from "./rules.ts";
import { type BpmnStore, chunkBytes, type DocumentRow } from "./store.ts";

export interface Download {
  readonly row: DocumentRow;
  readonly store: BpmnStore;
  /** As in HTTP's Range header; empty: all of it. */
  readonly range: string;
  readonly call: CallHead;
}

/** @throws RpcError RANGE_NOT_SATISFIABLE. */
export async function* download({ row, store, range, call }: Download): AsyncGenerator<HttpBody> {
  const headers = call.responseHeaders;
  headers.set("accept-ranges", "bytes");
  const asked = parseRange(range, row.size);
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
    const chunk = store.readChunk(row.digest, part) ?? new Uint8Array(0);
    const from = Math.max(0, start - part * chunkBytes);
    yield create(HttpBodySchema, {
      contentType: "application/xml",
      data: chunk.subarray(from, end - part * chunkBytes),
    });
  }
}
