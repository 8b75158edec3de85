/** The built-in roles, which are the same in every tenant. */
import type { RoleRow } from "./tables.ts";

function builtIn(id: string, displayName: string, description: string, scopes: readonly string[]): RoleRow {
  return { id, version: 0, displayName, description, scopes };
}

/** In the order of their ids. */
export const builtInRoles: readonly RoleRow[] = [
  builtIn("admin", "Administrator", "May do everything.", ["*"]),
  builtIn("editor", "Editor", "Designs: reads and changes what is designed, and has keys of its own.", [
    "apiKeys:read",
    "apiKeys:write",
    "bpmn:read",
    "bpmn:write",
    "events:read",
  ]),
  builtIn("operator", "Operator", "Runs: reads what is designed and sees who may do what.", [
    "apiKeys:read",
    "apiKeys:write",
    "bpmn:read",
    "events:read",
    "roles:read",
    "users:read",
  ]),
  builtIn("viewer", "Viewer", "Reads what is designed.", ["bpmn:read", "events:read"]),
  builtIn("worker", "Worker", "For services that do tasks: reads what is designed.", [
    "bpmn:read",
    "events:read",
  ]),
];

const builtInById = new Map(builtInRoles.map((role) => [role.id, role]));

export function builtInRole(id: string): RoleRow | undefined {
  return builtInById.get(id);
}
