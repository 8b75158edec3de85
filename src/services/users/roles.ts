/** Roles: the built-in ones, which are the same in every tenant, and what makes a list of scopes a good one. */
import type { Violation } from "#rpc/resource.ts";
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
  ]),
  builtIn("operator", "Operator", "Runs: reads what is designed and sees who may do what.", [
    "apiKeys:read",
    "apiKeys:write",
    "bpmn:read",
    "roles:read",
    "users:read",
  ]),
  builtIn("viewer", "Viewer", "Reads what is designed.", ["bpmn:read"]),
  builtIn("worker", "Worker", "For services that do tasks: reads what is designed.", ["bpmn:read"]),
];

const builtInById = new Map(builtInRoles.map((role) => [role.id, role]));

export function builtInRole(id: string): RoleRow | undefined {
  return builtInById.get(id);
}

const scopeForm = /^(\*|[a-z][A-Za-z0-9]{0,62}:(\*|[a-z][A-Za-z0-9]{0,62}))$/;
const maxScopes = 100;

export function checkScopes(scopes: readonly string[], field: string): Violation[] {
  if (scopes.length > maxScopes) return [{ field, description: `has more than ${maxScopes} scopes` }];
  return scopes.flatMap((scope, index) =>
    scopeForm.test(scope)
      ? []
      : [
          {
            field: `${field}[${index}]`,
            description: `"${scope.slice(0, 80)}" is not a scope; scopes are "area:verb", "area:*" or "*"`,
          },
        ],
  );
}
