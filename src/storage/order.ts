/** `order_by` (AIP-132): fields of a list, and the condition that goes on after the last row of a page. */
import { type RawBuilder, type SqlBool, sql } from "kysely";
import { RpcError } from "#rpc/error.ts";
import { nearest } from "#std/nearest.ts";

/** Field in proto spelling to column. Columns hold text or numbers, never NULL. */
export type OrderFields = Readonly<Record<string, string>>;

export interface Order {
  /** The last one is unique, so that the order is total. */
  readonly columns: readonly { readonly column: string; readonly descending: boolean }[];
  /** For ORDER BY. */
  readonly clause: RawBuilder<unknown>;
  /** Rows behind the one that has these values in the columns. */
  after(values: readonly (string | number)[]): RawBuilder<SqlBool>;
}

/** Fields in one order: each one more makes the database sort by more. */
const maxFields = 5;

/**
 * @param unique column that breaks ties, ascending.
 * @throws RpcError `invalid_argument` ORDER_INVALID naming the good fields.
 */
export function parseOrder(text: string, fields: OrderFields, unique: string): Order {
  const columns = text.trim() === "" ? [] : text.split(",").map((part) => parsePart(part, fields));
  if (columns.length > maxFields)
    throw orderInvalid(`has ${columns.length} fields; ${maxFields} are allowed`);
  const twice = columns.find(
    ({ column }, at) => columns.findIndex((other) => other.column === column) !== at,
  );
  if (twice !== undefined) throw orderInvalid(`names "${twice.column}" twice`);
  if (!columns.some(({ column }) => column === unique)) columns.push({ column: unique, descending: false });
  return {
    columns,
    clause: sql.join(
      columns.map(({ column, descending }) => sql`${sql.ref(column)} ${descending ? sql`DESC` : sql`ASC`}`),
    ),
    after: (values) => after(columns, values),
  };
}

function parsePart(part: string, fields: OrderFields) {
  const match = /^\s*([\w.]{1,100})(?:\s+(asc|desc))?\s*$/i.exec(part);
  const name = match?.[1]?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) ?? "";
  const column = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (match !== null && column !== undefined)
    return { column, descending: match[2]?.toLowerCase() === "desc" };
  const names = Object.keys(fields);
  const near = nearest(name, names);
  throw orderInvalid(
    `"${part.trim().slice(0, 100)}" is not a field with an optional "desc"${near === undefined ? "" : `; did you mean ${near}?`} (${names.join(", ")})`,
  );
}

function after(columns: Order["columns"], values: readonly (string | number)[]): RawBuilder<SqlBool> {
  // (a > x) OR (a = x AND b > y) OR …: row comparison cannot mix directions.
  const cases = columns.map(({ column, descending }, index) => {
    const equal = columns
      .slice(0, index)
      .map((other, at) => sql`${sql.ref(other.column)} = ${values[at] ?? ""} AND `);
    const beyond = sql`${sql.ref(column)} ${descending ? sql`<` : sql`>`} ${values[index] ?? ""}`;
    return sql`(${sql.join([...equal, beyond], sql``)})`;
  });
  return sql<SqlBool>`(${sql.join(cases, sql` OR `)})`;
}

function orderInvalid(problem: string): RpcError {
  return new RpcError("invalid_argument", {
    reason: "ORDER_INVALID",
    message: `orderBy: ${problem}`,
    metadata: { field: "orderBy" },
  });
}
