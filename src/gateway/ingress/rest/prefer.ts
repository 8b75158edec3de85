/**
 * `Prefer: wait=10`: how long a client would wait, in seconds. A preference is no demand: what is not understood is passed over.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7240#section-4.3
 */
import { create, type DescField, type Message } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import type { RequestHeaders } from "../exchange.ts";

/** Beside the wait, time for the answer itself, in milliseconds; a call that waits has no other deadline than its client's. */
const answerMs = 15_000;

type Fields = Record<string, unknown>;

/** Undefined: the route takes none, or the client says none. */
export function preferredWait(headers: RequestHeaders, route: HttpRoute): number | undefined {
  if (route.rest?.wait === undefined) return undefined;
  const { prefer } = headers;
  if (prefer === undefined) return undefined;
  for (const preference of String(prefer).slice(0, 1024).split(",")) {
    const match = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(preference);
    if (match !== null) return Number(match[1]);
  }
  return undefined;
}

/** How long such a call may take where its client does not say; undefined: as ever. In milliseconds. */
export function waitingTimeoutMs(headers: RequestHeaders, route: HttpRoute): number | undefined {
  const seconds = preferredWait(headers, route);
  return seconds === undefined ? undefined : seconds * 1000 + answerMs;
}

/** Fills the field, where the request does not say it in its own words. */
export function bindPrefer(headers: RequestHeaders, route: HttpRoute, message: Message): void {
  const seconds = preferredWait(headers, route);
  const field = route.rest?.wait as (DescField & { readonly fieldKind: "message" }) | undefined;
  if (seconds === undefined || field === undefined) return;
  const target = message as unknown as Fields;
  target[field.localName] ??= create(field.message, { seconds: BigInt(seconds) } as never);
}

/** What `Preference-Applied` says; undefined: it was not. */
export function appliedPreference(
  headers: RequestHeaders,
  route: HttpRoute,
  request: Message,
): string | undefined {
  const seconds = preferredWait(headers, route);
  if (seconds === undefined) return undefined;
  const field = route.rest?.wait;
  const given = field && ((request as unknown as Fields)[field.localName] as Duration | undefined);
  return given?.seconds === BigInt(seconds) && given.nanos === 0 ? `wait=${seconds}` : undefined;
}
