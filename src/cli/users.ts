/**
 * `portico users`: a tenant's users over the API, and the first administrator of a production installation, made in its database
 * directly.
 */
import { Command } from "commander";
import { openUsers } from "#compose.ts";
import { loadConfig } from "#config/config.ts";
import { createClient, urlOption } from "./client.ts";
import { CommandError, type Terminal } from "./terminal.ts";

interface Given {
  readonly admin?: true;
  readonly email: string;
  readonly id: string;
  readonly config?: string;
}

interface Where {
  readonly url: string;
}

interface User {
  readonly name: string;
  readonly state: string;
  readonly kind: string;
  readonly email: string;
  readonly roles: readonly string[];
}

export function usersCommand(terminal: Terminal): Command {
  const users = new Command("users").description("users of your tenant, and the first administrator");
  users
    .command("create")
    .description(
      "create an administrator in the database that the configuration names; the password is read from standard input",
    )
    .requiredOption("--admin", "an administrator: everybody else is created through the API")
    .requiredOption("--email <ADDRESS>", "what it signs in with")
    .option("--id <ID>", "id of the user", "admin")
    .option("--config <FILE>", "configuration file (default: portico.config.ts here, where it exists)")
    .action(async (given: Given) => {
      const password = (await readAll(process.stdin)).replace(/\r?\n$/, "");
      if (password === "")
        throw new CommandError(2, "the password is read from standard input, and nothing came");
      const config = await loadConfig(
        { flags: {}, env: terminal.env, file: given.config, cwd: terminal.cwd },
        "production",
      );
      const { users: host, close } = await openUsers(config);
      try {
        await host.createAdministrator({ id: given.id, email: given.email, password });
      } finally {
        await close();
      }
      terminal.err.write(`users/${given.id} is an administrator and signs in as ${given.email}\n`);
    });
  users
    .command("list")
    .description("list the users of your tenant")
    .option("--filter <FILTER>", 'which ones, such as: state = "SUSPENDED"', "")
    .option(...urlOption)
    .action(async ({ url, filter }: Where & { readonly filter: string }) => {
      for (let token = ""; ; ) {
        const query = new URLSearchParams({ pageSize: "1000", pageToken: token, filter });
        const page = await createClient(url, terminal).call("GET", `/api/v1/users?${query.toString()}`);
        for (const user of page.users as readonly User[]) terminal.out.write(lineOf(user));
        token = String(page.nextPageToken ?? "");
        if (token === "") return;
      }
    });
  for (const [verb, done] of [
    ["suspend", "may do nothing from now on, and its sessions have ended"],
    ["reactivate", "may work again"],
  ] as const)
    users
      .command(`${verb} <ID>`)
      .description(`${verb} a user of your tenant`)
      .option(...urlOption)
      .action(async (id: string, { url }: Where) => {
        const target = `/api/v1/users/${encodeURIComponent(id)}:${verb}`;
        const user = await createClient(url, terminal).call("POST", target, {});
        terminal.err.write(`${String(user.name)} ${done}\n`);
      });
  return users;
}

function lineOf(user: User): string {
  return `${user.name}  ${user.state}  ${user.kind}  ${user.email}  ${user.roles.join(" ")}\n`;
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
