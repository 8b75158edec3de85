/** A client of a running server for commands: one REST call, its JSON back, errors as exit codes. */
import { withCredential } from "./credential.ts";
import { CommandError, type ExitCode, type Terminal } from "./terminal.ts";

export interface Client {
  /** @throws CommandError with the server's message. */
  call(httpMethod: string, path: string, body?: unknown): Promise<Readonly<Record<string, unknown>>>;
}

export const urlOption = ["--url <URL>", "REST address", "http://127.0.0.1:8000"] as const;

const exitCodes: Readonly<Record<number, ExitCode>> = {
  400: 2,
  401: 3,
  403: 3,
  404: 4,
  409: 5,
  412: 5,
  503: 6,
  504: 6,
};

export function createClient(url: string, terminal: Terminal): Client {
  return {
    call: async (method, path, body) => {
      const credential = await withCredential([], url, terminal);
      const headers = new Headers(credential.map(([name, value]) => [name, value]));
      headers.set("content-type", "application/json");
      const response = await fetch(new URL(path, url), {
        method,
        headers,
        signal: AbortSignal.timeout(30_000),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }).catch((error: unknown) => {
        const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
        throw new CommandError(6, `${url} does not answer: ${String(cause)}; is portico serving there?`);
      });
      // What deletes or ends something answers 204, without a body.
      const text = await response.text();
      const answer = JSON.parse(text === "" ? "{}" : text) as Readonly<Record<string, unknown>>;
      if (response.ok) return answer;
      throw new CommandError(exitCodes[response.status] ?? 1, String(answer.message ?? response.statusText));
    },
  };
}
