/**
 * Methods that are not to be used any more, as their contract says it, and the headers that say it to callers.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9745 (Deprecation) and https://www.rfc-editor.org/rfc/rfc8594 (Sunset)
 */
import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { type Deprecation, deprecation as deprecationOption } from "#gen/portico/options/v1/options_pb.ts";
import type { Method } from "#rpc/method.ts";

export interface DeprecationNotice {
  readonly since: Date;
  readonly sunset: Date | undefined;
  /** Lower-case names. */
  readonly headers: readonly (readonly [string, string])[];
}

/** Undefined: not deprecated, or deprecated without a day to name. */
export function readDeprecation(desc: DescMethod): DeprecationNotice | undefined {
  if (!hasOption(desc, deprecationOption)) return undefined;
  const option = getOption(desc, deprecationOption);
  const since = parseDate(option.since);
  if (since === undefined) return undefined;
  const sunset = parseDate(option.sunset);
  const links = [linkTo(option.link, "deprecation"), linkTo(option.sunsetLink, "sunset")].filter(
    (link) => link !== "",
  );
  return {
    since,
    sunset,
    headers: [
      ["deprecation", `@${Math.floor(since.getTime() / 1000)}`],
      ...(sunset === undefined ? [] : [["sunset", sunset.toUTCString()] as const]),
      ...(links.length === 0 ? [] : [["link", links.join(", ")] as const]),
    ],
  };
}

function linkTo(url: string, relation: string): string {
  return url === "" ? "" : `<${url}>; rel="${relation}"`;
}

/** A day begins at midnight UTC. Undefined: empty, or no date. */
function parseDate(text: string): Date | undefined {
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2}))?$/.test(text)) return undefined;
  const date = new Date(text);
  // 2026-02-30 becomes a day of March otherwise.
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`);
  return Number.isNaN(date.getTime()) || day.toJSON()?.slice(0, 10) !== text.slice(0, 10) ? undefined : date;
}

export function reportDeprecations(
  methods: readonly Method[],
  report: (method: Method, message: string) => void,
): void {
  for (const method of methods) {
    if (!hasOption(method.desc, deprecationOption)) continue;
    for (const problem of problemsOf(method.desc, getOption(method.desc, deprecationOption)))
      report(method, `deprecation${problem}`);
  }
}

function* problemsOf(desc: DescMethod, option: Deprecation): Generator<string> {
  const { since, sunset, link, sunsetLink } = option;
  if (!desc.deprecated) yield ": says since when, and not that it is: set `option deprecated = true`";
  const from = parseDate(since);
  const until = parseDate(sunset);
  if (from === undefined)
    yield `.since ${JSON.stringify(since)}: a day or a time of RFC 3339, such as 2026-05-04`;
  if (sunset !== "" && until === undefined)
    yield `.sunset ${JSON.stringify(sunset)}: a day or a time of RFC 3339, such as 2026-12-31`;
  if (from !== undefined && until !== undefined && until < from)
    yield `.sunset "${sunset}": is before ${since}, since when it is deprecated`;
  if (sunset === "" && sunsetLink !== "") yield ".sunset_link: is about a sunset, and none is set";
  for (const [name, url] of [
    ["link", link],
    ["sunset_link", sunsetLink],
  ] as const)
    if (url !== "" && !isUrl(url)) yield `.${name} ${JSON.stringify(url)}: an absolute http or https URL`;
}

/** In a header between angle brackets: nothing that ends them. */
function isUrl(text: string): boolean {
  return /^https?:\/\/[\x21-\x7e]+$/.test(text) && !/[<>"\\]/.test(text) && URL.canParse(text);
}
