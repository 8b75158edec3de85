/** A browser as far as an authorization server sees one: keeps cookies, follows redirects on the server, sends forms. */
export interface Page {
  readonly status: number;
  /** Where the browser is; outside the server after the last redirect. */
  readonly url: string;
  readonly text: string;
}

export class BrowserSession {
  readonly #origin: string;
  readonly #cookies = new Map<string, string>();

  constructor(origin: string) {
    this.#origin = origin;
  }

  async open(url: string): Promise<Page> {
    return await this.#go(url, { method: "GET" });
  }

  /** Sends the page's form as somebody would who filled in `fields`. @param origin where the form claims to be from. */
  async submit(page: Page, fields: Readonly<Record<string, string>>, origin = this.#origin): Promise<Page> {
    const action = /<form method="post" action="([^"]*)"/.exec(page.text)?.[1];
    if (action === undefined) throw new Error(`no form on ${page.url}: ${page.text}`);
    const hidden = [...page.text.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)];
    const body = new URLSearchParams(
      hidden.map(([, name = "", value = ""]): [string, string] => [name, value]),
    );
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    return await this.#go(new URL(action.replaceAll("&#38;", "&"), page.url).href, {
      method: "POST",
      body,
      headers: { origin },
    });
  }

  async #go(url: string, init: RequestInit): Promise<Page> {
    const headers = new Headers(init.headers);
    if (this.#cookies.size > 0)
      headers.set("cookie", [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    const response = await fetch(url, { ...init, headers, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [name = "", value = ""] = (line.split(";", 1)[0] ?? "").split("=", 2);
      if (value === "" || line.includes("01 Jan 1970")) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    const location = response.headers.get("location");
    const text = await response.text();
    if (location === null) return { status: response.status, url, text };
    const next = new URL(location, url);
    if (next.origin !== this.#origin) return { status: response.status, url: next.href, text };
    return await this.#go(next.href, { method: "GET" });
  }
}
