/** `portico login`, `logout` and `token`: a person's sign-in in the browser, for the command line. */
import { Command } from "commander";
import { urlOption } from "./client.ts";
import { accessTokenFor, configurationOf, describeServer, forget, keep, toLogin } from "./logins.ts";
import { CommandError, type Terminal } from "./terminal.ts";

interface Where {
  readonly url: string;
}

export function loginCommand(terminal: Terminal): Command {
  return new Command("login")
    .description(
      "sign in with a browser, on this machine or another (device flow); kept until portico logout",
    )
    .option(...urlOption)
    .option("--scope <SCOPES>", "what the command line may do for you, separated by spaces", "*")
    .action(async ({ url, scope }: Where & { readonly scope: string }) => {
      const server = await describeServer(url);
      const config = await configurationOf(server);
      const { initiateDeviceAuthorization, pollDeviceAuthorizationGrant } = await import("openid-client");
      const started = await initiateDeviceAuthorization(config, { scope: `openid offline_access ${scope}` });
      terminal.err.write(
        `Open ${started.verification_uri_complete ?? started.verification_uri}\nand compare the code: ${started.user_code}\n`,
      );
      const tokens = await pollDeviceAuthorizationGrant(config, started).catch((error: unknown) => {
        const { error: code } = error as { readonly error?: string };
        if (code === "access_denied") throw new CommandError(3, "the sign-in was refused in the browser");
        if (code === "expired_token") throw new CommandError(3, "nobody signed in within ten minutes");
        throw error;
      });
      await keep(url, toLogin(server, tokens), terminal);
      terminal.err.write(`signed in at ${new URL(url).origin}; portico whoami says as whom\n`);
    });
}

export function logoutCommand(terminal: Terminal): Command {
  return new Command("logout")
    .description("end the sign-in of portico login")
    .option(...urlOption)
    .action(async ({ url }: Where) => {
      const login = await forget(url, terminal);
      if (login === undefined) throw new CommandError(4, `you are not signed in at ${new URL(url).origin}`);
      const { tokenRevocation } = await import("openid-client");
      const token = login.refreshToken === "" ? login.accessToken : login.refreshToken;
      await tokenRevocation(await configurationOf(login.server), token);
      terminal.err.write(`signed out at ${new URL(url).origin}\n`);
    });
}

export function tokenCommand(terminal: Terminal): Command {
  return new Command("token")
    .description("print an access token of the sign-in of portico login, good for some minutes")
    .option(...urlOption)
    .action(async ({ url }: Where) => {
      const token = await accessTokenFor(url, terminal);
      if (token === undefined)
        throw new CommandError(
          4,
          `you are not signed in at ${new URL(url).origin}; sign in with: portico login --url ${new URL(url).origin}`,
        );
      terminal.out.write(`${token}\n`);
    });
}
