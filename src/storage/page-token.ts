/**
 * Page tokens: opaque to clients, authenticated, bound to the query and the tenant they came from, good for three days.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { RpcError } from "#rpc/error.ts";
import type { Clock } from "#std/clock.ts";

const lifeMs = 3 * 24 * 3600 * 1000;
const macBytes = 16;
/** Far longer than any token made here. */
const maxTokenCharacters = 2048;

export interface PageTokens {
  /** @param scope what the token is bound to: method, query and tenant, in one string. */
  seal(cursor: readonly (string | number)[], scope: string): string;
  /** @throws RpcError `invalid_argument` PAGE_TOKEN_INVALID. */
  open(token: string, scope: string): readonly (string | number)[];
}

export function createPageTokens(secret: Uint8Array, clock: Clock): PageTokens {
  const mac = (body: string, scope: string): Buffer =>
    createHmac("sha256", secret).update(`page-token\0${scope}\0${body}`).digest().subarray(0, macBytes);
  return {
    seal: (cursor, scope) => {
      const body = Buffer.from(JSON.stringify([clock.now() + lifeMs, ...cursor])).toString("base64url");
      return `${body}.${mac(body, scope).toString("base64url")}`;
    },
    open: (token, scope) => {
      const [body = "", seal = ""] = token.length > maxTokenCharacters ? [] : token.split(".");
      const given = Buffer.from(seal, "base64url");
      if (given.length !== macBytes || !timingSafeEqual(given, mac(body, scope))) throw invalid();
      const [expires, ...cursor] = JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as [
        number,
        ...(string | number)[],
      ];
      if (expires < clock.now()) throw invalid();
      return cursor;
    },
  };
}

function invalid(): RpcError {
  return new RpcError("invalid_argument", {
    reason: "PAGE_TOKEN_INVALID",
    message:
      "pageToken: is not one that this query gave, or is older than three days; start again without it",
    metadata: { field: "pageToken" },
  });
}
