/** `portico whoami` and `portico keys`: who the credential here is, and API keys. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Command } from "commander";
import { readDevelopmentKey } from "#config/config.ts";
import { createClient, urlOption } from "./client.ts";
import { CommandError, type ExitCode, type Terminal } from "./terminal.ts";

interface ApiKey {
  readonly id: string;
  readonly displayName: string;
  readonly owner: string;
  readonly state: string;
  readonly scopes: readonly string[];
  readonly expireTime: string;
  readonly lastUseTime?: string;
}

interface Where {
  readonly url: string;
}
interface Secret {
  readonly out?: string;
  readonly print?: true;
}

export function whoamiCommand(terminal: Terminal): Command {
  return new Command("whoami")
    .description("say who the credential here stands for, and what it may do")
    .option(...urlOption)
    .action(async ({ url }: Where) => {
      const user = await createClient(url, terminal).call("GET", "/api/v1/me");
      const scopes = (user.effectiveScopes ?? []) as readonly string[];
      terminal.out.write(
        `${String(user.name)} (${String(user.displayName)}): ${scopes.join(" ") || "no scopes"}\n`,
      );
    });
}

export function keysCommand(terminal: Terminal, finish: (code: ExitCode) => void): Command {
  const keys = new Command("keys").description("API keys: create, list, rotate, revoke");
  keys
    .command("create")
    .description("create a key; its secret is written to a file, or printed where that is asked for")
    .option("--name <NAME>", "display name", "")
    .option("--owner <USER>", "user that it acts as, such as users/importer (default: you)", "")
    .option("--scopes <SCOPES>", "what it may do, separated by commas (default: all that you may)", "")
    .option("--networks <CIDRS>", "where it may be used from, separated by commas (default: anywhere)", "")
    .option("--out <FILE>", "file for the secret; readable by its owner alone, never overwritten")
    .option("--print", "print the secret")
    .option(...urlOption)
    .action(
      async (given: Where & Secret & Readonly<Record<"name" | "owner" | "scopes" | "networks", string>>) => {
        demandPlace(given);
        const made = await createClient(given.url, terminal).call("POST", "/api/v1/apiKeys", {
          displayName: given.name,
          owner: given.owner,
          scopes: listOf(given.scopes),
          allowedNetworks: listOf(given.networks),
        });
        handOver(made, given, terminal);
      },
    );
  keys
    .command("list")
    .description("list the keys that you see")
    .option(...urlOption)
    .action(async ({ url }: Where) => {
      for (let token = ""; ; ) {
        const query = new URLSearchParams({ pageSize: "1000", pageToken: token });
        const page = await createClient(url, terminal).call("GET", `/api/v1/apiKeys?${query.toString()}`);
        for (const key of page.apiKeys as readonly ApiKey[]) terminal.out.write(lineOf(key));
        token = String(page.nextPageToken ?? "");
        if (token === "") return;
      }
    });
  keys
    .command("rotate <ID>")
    .description("make a new secret for a key; the one before works for a day, or for the overlap")
    .option("--overlap <SECONDS>", "how long the secret before goes on working")
    .option("--out <FILE>", "file for the secret; readable by its owner alone, never overwritten")
    .option("--print", "print the secret")
    .option(...urlOption)
    .action(async (id: string, given: Where & Secret & { readonly overlap?: string }) => {
      demandPlace(given);
      const body = given.overlap === undefined ? {} : { overlap: `${given.overlap}s` };
      const target = `/api/v1/apiKeys/${encodeURIComponent(id)}:rotate`;
      handOver(await createClient(given.url, terminal).call("POST", target, body), given, terminal);
    });
  keys
    .command("revoke <ID>")
    .description("end a key for good")
    .option(...urlOption)
    .action(async (id: string, { url }: Where) => {
      const target = `/api/v1/apiKeys/${encodeURIComponent(id)}:revoke`;
      const key = await createClient(url, terminal).call("POST", target, {});
      terminal.err.write(`${String(key.name)} is revoked\n`);
    });
  keys
    .command("dev")
    .description("print the development key of the data folder here")
    .action(() => {
      const folder = path.resolve(terminal.cwd, terminal.env.PORTICO_DATA_DIR ?? ".portico");
      const key = readDevelopmentKey(folder);
      if (key === undefined)
        throw new CommandError(4, `there is no development key in ${folder}; npm start makes one`);
      terminal.out.write(`${key}\n`);
      finish(0);
    });
  return keys;
}

/** Asked before the key is made: nobody is to lose a secret. */
function demandPlace(given: Secret): void {
  if (given.out === undefined && given.print !== true)
    throw new CommandError(2, "say where the secret goes: --out FILE, or --print to have it on the screen");
}

function handOver(made: Readonly<Record<string, unknown>>, given: Secret, terminal: Terminal): void {
  const secret = String(made.secret);
  if (given.out === undefined) terminal.out.write(`${secret}\n`);
  else writeFileSync(path.resolve(terminal.cwd, given.out), `${secret}\n`, { mode: 0o600, flag: "wx" });
  terminal.err.write(`${lineOf(made.apiKey as ApiKey)}The secret is not shown again.\n`);
}

function lineOf(key: ApiKey): string {
  const used = key.lastUseTime === undefined ? "never used" : `used ${key.lastUseTime}`;
  return `${key.id}  ${key.state}  ${key.owner}  until ${key.expireTime}  ${used}  ${key.scopes.join(" ")}  ${key.displayName}\n`;
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");
}
