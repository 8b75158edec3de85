/** What a list may be filtered and ordered by, and a request's filter and order as the store takes them. */
import { type RawBuilder, type SqlBool, sql } from "kysely";
import type { ListBPMNRequest } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { parseFilter } from "#storage/filter.ts";
import { type Condition, type FilterField, type FilterFields, toCondition } from "#storage/filter-sql.ts";
import { type Order, type OrderFields, parseOrder } from "#storage/order.ts";
import type { Engine } from "#storage/storage.ts";
import type { DocumentColumns } from "./tables.ts";

export interface ListQuery {
  readonly showDeleted: boolean;
  readonly condition: RawBuilder<SqlBool> | undefined;
  readonly order: Order;
}

const inProcesses = (condition: Condition): Condition =>
  sql<SqlBool>`EXISTS (SELECT 1 FROM bpmn_processes WHERE bpmn_processes.tenant = bpmn_documents.tenant AND bpmn_processes.document = bpmn_documents.id AND ${condition})`;
const inBindings = (condition: Condition): Condition =>
  sql<SqlBool>`EXISTS (SELECT 1 FROM bpmn_bindings WHERE bpmn_bindings.tenant = bpmn_documents.tenant AND bpmn_bindings.document = bpmn_documents.id AND ${condition})`;

const text = (column: string): FilterField => ({ type: "text", column: `bpmn_documents.${column}` });
const time = (column: string): FilterField => ({ type: "time", column: `bpmn_documents.${column}` });

export const filterFields: FilterFields = {
  id: text("id"),
  display_name: text("display_name"),
  description: text("description"),
  labels: { type: "map", column: "bpmn_documents.labels" },
  digest: text("digest"),
  size_bytes: { type: "number", column: "bpmn_documents.size" },
  creator: text("creator"),
  last_editor: text("editor"),
  create_time: time("created_at"),
  update_time: time("updated_at"),
  "metadata.processes.id": { type: "text", column: "bpmn_processes.id", exists: inProcesses },
  "metadata.processes.display_name": {
    type: "text",
    column: "bpmn_processes.display_name",
    exists: inProcesses,
  },
  "metadata.processes.executable": {
    type: "boolean",
    column: "bpmn_processes.executable",
    exists: inProcesses,
  },
  "metadata.task_bindings": { type: "text", column: "bpmn_bindings.binding", exists: inBindings },
};

export const orderFields: OrderFields = {
  id: "id",
  display_name: "display_name",
  size_bytes: "size",
  create_time: "created_at",
  update_time: "updated_at",
};

/** @throws RpcError FILTER_INVALID, ORDER_INVALID. */
export function parseListQuery(
  request: Pick<ListBPMNRequest, "filter" | "orderBy" | "showDeleted">,
  engine: Engine,
): ListQuery {
  const filter = parseFilter(request.filter);
  const scope = { engine, fields: filterFields, anywhere: ["id", "display_name", "description"] };
  return {
    showDeleted: request.showDeleted,
    condition: filter === undefined ? undefined : toCondition(filter, scope),
    order: parseOrder(request.orderBy, orderFields, "id"),
  };
}

/** Where the next page begins: the order's values of a page's last row. */
export function cursorOf(row: DocumentColumns, order: Order): (string | number)[] {
  return order.columns.map(({ column }) => row[column as keyof DocumentColumns] ?? "");
}
