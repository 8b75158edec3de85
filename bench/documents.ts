/** What the servers of a comparison have in store. */
import { documentId, restPath, xml } from "./message.ts";
import { rotation } from "./pairs.ts";
import type { ServerProcess } from "./server-process.ts";

/** Stores the document and learns what Portico answers, so that the peers can answer the same. */
export async function prepare(server: ServerProcess): Promise<Record<string, string>> {
  const base = `http://127.0.0.1:${server.httpPort}`;
  const credential: Record<string, string> = server.key === "" ? {} : { "x-api-key": server.key };
  const created = await fetch(`${base}/api/v1/bpmn?documentId=${documentId}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...credential },
    body: JSON.stringify({ xml, displayName: "Order", labels: { team: "bench" } }),
  });
  if (!created.ok) throw new Error(`portico refused the document: ${await created.text()}`);
  const answer = await fetch(base + restPath, { headers: credential });
  const own = new Set(["connection", "content-length", "date", "keep-alive", "transfer-encoding"]);
  const headers = Object.fromEntries([...answer.headers].filter(([name]) => !own.has(name)));
  return { BENCH_DOCUMENT: await answer.text(), BENCH_HEADERS: JSON.stringify(headers) };
}

/** Two hundred more of the same document, under other ids. */
export async function createRotation(base: string, from: number): Promise<void> {
  const requests = Array.from({ length: 200 }, (_, at) => ({
    documentId: `${rotation.prefix}${from + at}`,
    document: { xml, displayName: "Order", labels: { team: "bench" } },
  }));
  const created = await fetch(`${base}/api/v1/bpmn:batchCreate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ requests }),
  });
  if (!created.ok) throw new Error(`portico refused the documents: ${await created.text()}`);
}
