/** Request targets of HTTP/1 that name a whole URL, which clients send to proxies, and which every server has to take as well. */

interface Head {
  readonly method?: string | undefined;
  url?: string | undefined;
  readonly headers: { readonly host?: string | undefined };
}

const usualPorts = { http: /:80$/, https: /:443$/ } as const;

/**
 * Leaves the path and the query of a URL that is ours: of this scheme, and of whom `Host` names. Any other stays as it is, and is refused: the
 * two would disagree about whom the request is for.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
 */
export function toOriginForm(head: Head, encrypted: boolean): void {
  const { url = "/", headers } = head;
  if (url.startsWith("/") || headers.host === undefined) return;
  const [, scheme = "", authority = "", rest = ""] = /^(https?):\/\/([^/?]+)(.*)$/i.exec(url) ?? [];
  const ours = encrypted ? "https" : "http";
  if (scheme.toLowerCase() !== ours) return;
  const plain = (name: string): string => name.toLowerCase().replace(usualPorts[ours], "");
  if (plain(authority) !== plain(headers.host)) return;
  // Section 3.2.4: of the server itself.
  if (rest === "" && head.method === "OPTIONS") head.url = "*";
  else head.url = rest.startsWith("/") ? rest : `/${rest}`;
}
