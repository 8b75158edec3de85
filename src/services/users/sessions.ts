/**
 * Sessions: from a sign-in to a sign-out, thirty days, or a day without use.
 *
 * A refresh token is good for one use. The one before it is forgiven for ten seconds to the same client, whose answer may have been
 * lost; any other use of an old token means that somebody else has it too, and ends the session.
 *
 * @see RFC 9700 section 4.14.2 (refresh token rotation)
 */
import { randomBytes } from "node:crypto";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Clock } from "#std/clock.ts";
import { ulid } from "#std/ulid.ts";
import type { Tables } from "#storage/storage.ts";
import { isEqual, sha256 } from "./secrets.ts";
import { SessionStore } from "./session-store.ts";
import type { SessionRow, UserRow, UsersTables } from "./tables.ts";

const lifeMs = 30 * 24 * 3600 * 1000;
const idleMs = 24 * 3600 * 1000;
const graceMs = 10_000;
const form = /^prt_([0-9a-z]{26})_([A-Za-z0-9_-]{43})$/;

export interface OpenedSession {
  readonly row: SessionRow;
  readonly refreshToken: string;
}

export class Sessions {
  readonly #tables: Tables<UsersTables>;
  readonly #clock: Clock;

  constructor(tables: Tables<UsersTables>, clock: Clock) {
    this.#tables = tables;
    this.#clock = clock;
  }

  async open(user: UserRow, call: CallHead): Promise<OpenedSession> {
    const now = this.#clock.now();
    const id = ulid(now);
    const { refreshToken, hash } = newToken(id);
    const row: SessionRow = {
      id,
      tenant: user.tenant,
      user_id: user.id,
      token: hash,
      previous_token: null,
      rotated_at: now,
      client: clientOf(call),
      user_agent: userAgentOf(call),
      address: call.peer.address,
      created_at: now,
      last_used_at: now,
      expires_at: now + idleMs,
    };
    await this.#tables.of(user.tenant).transaction(async (db) => {
      await new SessionStore(db, this.#tables.engine).insert(row);
      await db
        .updateTable("users_users")
        .set({ last_sign_in_at: now })
        .where("tenant", "=", user.tenant)
        .where("id", "=", user.id)
        .execute();
    }, call);
    return { row, refreshToken };
  }

  /** @throws RpcError REFRESH_TOKEN_INVALID. */
  async refresh(refreshToken: string, call: CallHead): Promise<OpenedSession> {
    const id = form.exec(refreshToken)?.[1];
    if (id === undefined) throw refused();
    const opened = await this.#tables.transaction(async (db) => {
      const store = new SessionStore(db, this.#tables.engine);
      const row = await store.lock(id);
      const now = this.#clock.now();
      if (row === undefined || row.expires_at <= now) return undefined;
      const given = sha256(refreshToken);
      const forgiven =
        isEqual(given, row.previous_token) && now - row.rotated_at < graceMs && row.client === clientOf(call);
      if (!isEqual(given, row.token) && !forgiven) {
        await store.removeOne(id);
        return undefined;
      }
      const next = newToken(id);
      const after: SessionRow = {
        ...row,
        token: next.hash,
        // Of two that were asked for at once, the later one stands.
        previous_token: row.token,
        rotated_at: now,
        last_used_at: now,
        address: call.peer.address,
        expires_at: Math.min(now + idleMs, row.created_at + lifeMs),
      };
      await store.save(after);
      return { row: after, refreshToken: next.refreshToken };
    });
    // Thrown out here: inside, the end of the session would be rolled back with it.
    if (opened === undefined) throw refused();
    return opened;
  }

  async close(
    tenant: string,
    user: string,
    which: { readonly only?: readonly string[]; readonly but?: string } = {},
  ) {
    await new SessionStore(this.#tables.of(tenant).db, this.#tables.engine).remove({ tenant, user }, which);
  }

  /** Forgets sessions that are over. */
  async purge(): Promise<void> {
    await new SessionStore(this.#tables.db, this.#tables.engine).removeExpired(this.#clock.now());
  }
}

function newToken(id: string): { refreshToken: string; hash: Uint8Array } {
  const refreshToken = `prt_${id}_${randomBytes(32).toString("base64url")}`;
  return { refreshToken, hash: sha256(refreshToken) };
}

function userAgentOf(call: CallHead): string {
  return (call.metadata.get("user-agent") ?? "").slice(0, 200);
}

/** What tells one client from another. */
function clientOf(call: CallHead): string {
  return Buffer.from(sha256(`${userAgentOf(call)}\0${call.peer.address}`)).toString("base64url");
}

function refused(): RpcError {
  return new RpcError("unauthenticated", {
    reason: "REFRESH_TOKEN_INVALID",
    message: "the refresh token is not good, or was used before, which ends its session; sign in again",
  });
}
