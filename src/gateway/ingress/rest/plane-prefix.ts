/**
 * The short prefixes: `/design/…` and `/runtime/…` (also below `/api/v1`) are the same paths under `/api/v1/…`, for methods
 * of that plane only. One rewrite here instead of a second set of bindings in the contract.
 */
import type { Catalog, HttpRoute, Plane } from "#gateway/catalog/catalog.ts";

export interface PathMatch {
  readonly match: ReturnType<Catalog["match"]>;
  /** Set where the path was a short one; the method has to be of that plane. */
  readonly plane: Plane | undefined;
}

/** A contract's own path comes first: somebody's service may well live below `/runtime/`. */
export function matchPath(catalog: Catalog, httpMethod: string, path: string): PathMatch {
  const match = catalog.match(httpMethod, path);
  if (match.kind !== "not_found") return { match, plane: undefined };
  const short = unprefixed(path);
  return short.plane === undefined
    ? { match, plane: undefined }
    : { match: catalog.match(httpMethod, short.path), plane: short.plane };
}

function unprefixed(path: string): { readonly path: string; readonly plane: Plane | undefined } {
  const from = path.startsWith("/api/v1/") ? 7 : 0;
  for (const plane of ["design", "runtime"] as const) {
    if (path.startsWith(plane, from + 1) && path[from + 1 + plane.length] === "/") {
      return { path: `/api/v1${path.slice(from + 1 + plane.length)}`, plane };
    }
  }
  return { path, plane: undefined };
}

export function onOwnPlane(catalog: Catalog, route: HttpRoute, plane: Plane): boolean {
  return catalog.optionsOf(route.method).plane === plane;
}
