/**
 * Tickets: good for one call within a minute, for URLs that can carry no header.
 *
 * A ticket in a log or a history is worth nothing any more when somebody reads it there.
 */
import { randomBytes } from "node:crypto";
import type { CallHead } from "#rpc/call.ts";
import type { Clock } from "#std/clock.ts";
import type { Tables } from "#storage/storage.ts";
import { demandScopes, ownId, saidRoles } from "./rights.ts";
import { sha256 } from "./secrets.ts";
import type { TicketRow, UsersTables } from "./tables.ts";

const lifeMs = 60_000;
const form = /^ptt_[A-Za-z0-9_-]{43}$/;

/** Whether text is meant to be a ticket, right or wrong. */
export function looksLikeTicket(text: string): boolean {
  return text.startsWith("ptt_");
}

export class Tickets {
  readonly #tables: Tables<UsersTables>;
  readonly #clock: Clock;

  constructor(tables: Tables<UsersTables>, clock: Clock) {
    this.#tables = tables;
    this.#clock = clock;
  }

  async create(scopes: readonly string[], call: CallHead) {
    const { principal } = call;
    demandScopes(principal, scopes, "such a ticket");
    const ticket = `ptt_${randomBytes(32).toString("base64url")}`;
    const expiresAt = this.#clock.now() + lifeMs;
    const roles = saidRoles(principal);
    const row: TicketRow = {
      hash: hashOf(ticket),
      tenant: principal.tenant,
      user_id: ownId(principal),
      scopes: JSON.stringify(scopes.length === 0 ? [...principal.scopes].sort() : [...new Set(scopes)]),
      credential: principal.credential,
      roles: roles === undefined ? null : JSON.stringify(roles),
      // Sessions and keys are looked at as long as what the ticket opened goes on.
      credential_ends_at: principal.credential.startsWith("tokens/") ? (principal.expiresAt ?? null) : null,
      expires_at: expiresAt,
    };
    await this.#tables
      .of(row.tenant)
      .transaction((db) => db.insertInto("users_tickets").values(row).execute(), call);
    return { ticket, expiresAt };
  }

  /** Takes it: of two that come with one ticket, one has it. */
  async take(ticket: string): Promise<TicketRow | undefined> {
    if (!form.test(ticket)) return undefined;
    const row = await this.#tables.db
      .deleteFrom("users_tickets")
      .where("hash", "=", hashOf(ticket))
      .returningAll()
      .executeTakeFirst();
    return row !== undefined && row.expires_at > this.#clock.now() ? row : undefined;
  }

  /** Forgets tickets that nobody used. */
  async purge(): Promise<void> {
    await this.#tables.db.deleteFrom("users_tickets").where("expires_at", "<=", this.#clock.now()).execute();
  }
}

function hashOf(ticket: string): string {
  return Buffer.from(sha256(ticket)).toString("base64url");
}
