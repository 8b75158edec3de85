/** What the contract says of an answer beside its body: status, `Location`, headers from fields, the link to the next page. */
import type { Message } from "@bufbuild/protobuf";
import type { HttpRoute, NextPage, RestPlan } from "#gateway/catalog/catalog.ts";
import type { Call } from "#rpc/call.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { appliedPreference } from "./prefer.ts";

export interface PlannedAnswer {
  readonly message: Message;
  readonly call: Call;
  readonly headers: ResponseHeaders;
  /** Where Portico is, without a slash at the end. */
  serverUrl(): string;
}

type Fields = Readonly<Record<string, unknown>>;

/** Adds the headers. @returns the status. */
export function sayPlanned(
  exchange: Exchange,
  route: HttpRoute,
  plan: RestPlan,
  answer: PlannedAnswer,
): number {
  const { message, headers, call } = answer;
  if (plan.headers.length > 0) sayFields(exchange, plan, { message, headers });
  if (plan.nextPage !== undefined) sayNextPage(exchange, plan.nextPage, answer);
  const request = call.kind === "unary" ? call.request.message() : undefined;
  if (plan.wait !== undefined && request !== undefined) {
    const applied = appliedPreference(exchange.headers, route, request);
    if (applied !== undefined) headers["preference-applied"] = applied;
    const { vary } = headers;
    headers.vary = vary === undefined ? "prefer" : `${String(vary)}, prefer`;
  }
  if (
    plan.validateOnly !== undefined &&
    (request as Fields | undefined)?.[plan.validateOnly.localName] === true
  )
    return 200;
  const made = plan.location?.pathOf(message);
  if (made !== undefined && headers.location === undefined) headers.location = answer.serverUrl() + made;
  return plan.status;
}

function sayFields(
  exchange: Exchange,
  plan: RestPlan,
  { message, headers }: { readonly message: Message; readonly headers: ResponseHeaders },
): void {
  const said: string[] = [];
  for (const header of plan.headers) {
    const text = header.textOf(message);
    if (text === undefined) continue;
    headers[header.name] = text;
    said.push(header.name);
  }
  const exposed = exchange.common?.["access-control-expose-headers"];
  // A page of another origin reads only what it is shown.
  if (exposed !== undefined && said.length > 0)
    exchange.common = {
      ...exchange.common,
      "access-control-expose-headers": [exposed, ...said].join(", "),
    };
}

/** The same request with the next page's token: `rel="next"` of RFC 8288. */
function sayNextPage(exchange: Exchange, { token, parameters }: NextPage, answer: PlannedAnswer): void {
  const next = (answer.message as unknown as Fields)[token.localName];
  if (typeof next !== "string" || next === "") return;
  const kept = exchange.query
    .split("&")
    .filter((pair) => pair !== "" && !parameters.includes(nameOf(pair)))
    .map(inUrl);
  const query = [...kept, `${parameters[0]}=${encodeURIComponent(next)}`].join("&");
  const link = `<${answer.serverUrl()}${inUrl(exchange.path)}?${query}>; rel="next"`;
  const before = answer.headers.link;
  answer.headers.link = before === undefined ? link : `${String(before)}, ${link}`;
}

function nameOf(pair: string): string {
  const name = pair.split("=", 1)[0] ?? "";
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    // It was bound, so it can be decoded; what cannot is none of ours.
    return name;
  }
}

/** What stands in a header between angle brackets: nothing that ends them. */
function inUrl(raw: string): string {
  return raw.replace(/[^\x21-\x7e]|[<>"\\^`{|}]/gu, (one) => encodeURIComponent(one));
}
