/** What another method lists: the entries of a list of resources, and what completes an argument. */
import type { ValueSource } from "#gateway/catalog/catalog.ts";
import { toRpcError } from "#rpc/error.ts";
import { toBytes, type Use, use } from "./use.ts";

export interface Values {
  readonly values: readonly { readonly value: string; readonly title: string }[];
  /** Empty: there are no more. */
  readonly next: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Those that the caller may see; none, where it may not list them. */
export async function readValues(
  options: Use,
  source: ValueSource,
  page: { readonly size: number; readonly token: string },
): Promise<Values> {
  const request = toBytes(source.paged ? { pageSize: page.size, pageToken: page.token } : {});
  try {
    const text = await use(options, { method: source.method, request }, (reply, call) => {
      const read = reply.kind === "unary" ? reply.response.text() : "{}";
      call.bytesOut += Buffer.byteLength(read);
      return read;
    });
    const answer = JSON.parse(text) as Json;
    const rows = (answer[source.rows] ?? []) as readonly Json[];
    const values = rows.map((row) => {
      const value = at(row, source.value);
      return { value, title: at(row, source.title) || value };
    });
    return {
      values: values.filter(({ value }) => value !== ""),
      next: source.paged ? String(answer.nextPageToken ?? "") : "",
    };
  } catch (thrown) {
    if (toRpcError(thrown).code === "permission_denied") return { values: [], next: "" };
    throw thrown;
  }
}

function at(row: Json, path: readonly string[]): string {
  let value: unknown = row;
  for (const name of path) value = (value as Json | undefined)?.[name];
  return value === undefined ? "" : String(value);
}
