/** `portico users create --admin`: the first administrator of a production installation, made in its database directly. */
import { Command } from "commander";
import { openUsers } from "#compose.ts";
import { loadConfig } from "#config/config.ts";
import { CommandError, type Terminal } from "./terminal.ts";

interface Given {
  readonly admin?: true;
  readonly email: string;
  readonly id: string;
  readonly config?: string;
}

export function usersCommand(terminal: Terminal): Command {
  const users = new Command("users").description("users, for those who can open the database");
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
  return users;
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
