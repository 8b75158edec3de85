/** Clients of MCP in both revisions, by its own library; closed together. */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

export type Revision = "2026-07-28" | "2025-11-25";
export const revisions: readonly Revision[] = ["2026-07-28", "2025-11-25"];

export interface ToolAnswer {
  readonly isError?: boolean;
  readonly content: readonly { readonly type: string; readonly text?: string }[];
  readonly structuredContent?: Record<string, unknown>;
}

type Capabilities = NonNullable<NonNullable<ConstructorParameters<typeof Client>[1]>["capabilities"]>;

export class McpClients {
  readonly #clients: Client[] = [];

  /** @param prepare runs before it connects. */
  async connect(
    base: string,
    options: {
      readonly key?: string;
      readonly revision?: Revision;
      readonly capabilities?: Capabilities;
      readonly prepare?: (client: Client) => void;
    } = {},
  ): Promise<Client> {
    const { key = "", revision = "2026-07-28", capabilities = {} } = options;
    const mode = revision === "2026-07-28" ? { pin: revision } : "legacy";
    const client = new Client({ name: "test", version: "1" }, { capabilities, versionNegotiation: { mode } });
    options.prepare?.(client);
    const headers: Record<string, string> = key === "" ? {} : { "x-api-key": key };
    await client.connect(
      new StreamableHTTPClientTransport(new URL(`${base}/mcp`), { requestInit: { headers } }),
    );
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
  }
}

export async function runTool(
  client: Client,
  name: string,
  given: Record<string, unknown> = {},
): Promise<ToolAnswer> {
  return (await client.callTool({ name, arguments: given })) as unknown as ToolAnswer;
}

/** Waits until it is so. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !isSo(); waited += 10) {
    if (waited > 5000) throw new Error(`not within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
