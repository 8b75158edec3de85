/**
 * `portico users`: a tenant's users over the API, and the first administrator of a production installation, made in its database
 * directly.
 */
import { Command } from "commander";
import { loadConfig } from "#config/config.ts";
import { createClient, urlOption } from "./client.ts";
import { CommandError, type Terminal } from "./terminal.ts";

interface Given {
  readonly admin?: true;
  readonly email: string;
  readonly id?: string;
  readonly name: string;
  readonly roles: string;
  readonly service?: true;
  readonly passwordStdin?: true;
  readonly config?: string;
  readonly url: string;
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
      "create a user of your tenant; with --admin the first administrator, in the database that the configuration names, its password read from standard input",
    )
    .option("--admin", "an administrator, made in the database: for who holds it")
    .option("--email <ADDRESS>", "what a person signs in with", "")
    .option("--id <ID>", "id of the user (default: made up; admin with --admin)")
    .option("--name <NAME>", "display name", "")
    .option("--roles <ROLES>", "what it may do, separated by commas, such as viewer,editor", "")
    .option("--service", "a service instead of a person: it has keys and no password")
    .option(
      "--password-stdin",
      "read the person's password from standard input; without one nobody can sign in",
    )
    .option("--config <FILE>", "with --admin: configuration file (default: portico.config.ts here)")
    .option(...urlOption)
    .action((given: Given) =>
      given.admin === true ? createAdministrator(given, terminal) : createUser(given, terminal),
    );
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
    ["revokeSessions", "has to sign in again"],
  ] as const)
    users
      .command(`${dashed(verb)} <ID>`)
      .description(
        `${dashed(verb).replace("-", " the ")}${verb === "revokeSessions" ? " of" : ""} a user of your tenant`,
      )
      .option(...urlOption)
      .action(async (id: string, { url }: Where) => {
        const target = `/api/v1/users/${encodeURIComponent(id)}:${verb}`;
        await createClient(url, terminal).call("POST", target, {});
        terminal.err.write(`users/${id} ${done}\n`);
      });
  return users;
}

async function createAdministrator(given: Given, terminal: Terminal): Promise<void> {
  const { id = "admin", email } = given;
  if (email === "") throw new CommandError(2, "an administrator signs in with an e-mail: give --email");
  const password = await readPassword();
  const config = await loadConfig(
    { flags: {}, env: terminal.env, file: given.config, cwd: terminal.cwd },
    "production",
  );
  const { openUsers } = await import("#compose.ts");
  const { users: host, close } = await openUsers(config);
  try {
    await host.createAdministrator({ id, email, password });
  } finally {
    await close();
  }
  terminal.err.write(`users/${id} is an administrator and signs in as ${email}\n`);
}

/** In a batch of one: its request is all body, and a password has no place in a URL. */
async function createUser(given: Given, terminal: Terminal): Promise<void> {
  const password = given.passwordStdin === true ? await readPassword() : "";
  const roles = given.roles.split(",").map((role) => role.trim());
  const request = {
    userId: given.id ?? "",
    password,
    user: {
      displayName: given.name,
      email: given.email,
      kind: given.service === true ? "SERVICE" : "PERSON",
      roles: roles.filter((role) => role !== "").map((role) => `roles/${role.replace(/^roles\//, "")}`),
    },
  };
  const made = await createClient(given.url, terminal).call("POST", "/api/v1/users:batchCreate", {
    requests: [request],
  });
  for (const user of made.users as readonly User[]) terminal.out.write(lineOf(user));
}

/** Never an argument: every user of the machine sees those in the list of processes. */
async function readPassword(): Promise<string> {
  const password = (await readAll(process.stdin)).replace(/\r?\n$/, "");
  if (password === "")
    throw new CommandError(2, "the password is read from standard input, and nothing came");
  return password;
}

/** `revokeSessions` as `revoke-sessions`. */
function dashed(verb: string): string {
  return verb.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function lineOf(user: User): string {
  return `${user.name}  ${user.state}  ${user.kind}  ${user.email}  ${user.roles.join(" ")}\n`;
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
