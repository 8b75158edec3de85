/** Who may come in: pages by their origin, callers by their credential; before the protocol is looked at. */
import type { Entry } from "#rpc/door.ts";
import { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import { localPrincipal, type Principal } from "#rpc/principal.ts";
import type { Exchange } from "../exchange.ts";

export interface Gate {
  /** Where Portico is, without a slash at the end. */
  serverUrl(): string;
  /** Pages that may call; others than these, and those of `serverUrl` and of this machine, are refused. */
  readonly origins?: readonly string[];
  /** Absent: nobody asks who calls. */
  readonly authenticator?: {
    principalOf(caller: {
      readonly metadata: Metadata;
      readonly peer: Exchange["peer"];
      readonly entry: Entry;
    }): Principal | Promise<Principal>;
  };
}

/**
 * A page that found its way here by a name that it controls is a page of a foreign origin (DNS rebinding).
 *
 * @throws RpcError CORS_ORIGIN_FOREIGN.
 */
export function checkOrigin({ serverUrl, origins }: Gate, { headers }: Exchange): void {
  const { origin } = headers;
  if (origin === undefined) return;
  const text = String(origin);
  const host = String(headers.host ?? headers[":authority"] ?? "");
  const local =
    /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(text) && text.endsWith(`//${host}`);
  if (local || origins?.includes(text) === true) return;
  if (text === new URL(serverUrl()).origin) return;
  throw new RpcError("permission_denied", {
    reason: "CORS_ORIGIN_FOREIGN",
    message: `pages of ${text.slice(0, 200)} may not use these tools; the operator lists those that may`,
  });
}

/** @throws RpcError CREDENTIAL_MISSING, or what is wrong with the one that was shown. */
export async function principalOf({ authenticator }: Gate, entry: Entry): Promise<Principal> {
  if (authenticator === undefined) return localPrincipal;
  const { metadata, peer } = entry;
  const principal = await authenticator.principalOf({ metadata, peer, entry });
  if (principal.name !== "") return principal;
  throw new RpcError("unauthenticated", {
    reason: "CREDENTIAL_MISSING",
    message:
      "tools are for callers who show who they are: `Authorization: Bearer <token>` or `X-API-Key: <key>`",
  });
}
