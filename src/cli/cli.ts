/**
 * The command line: `portico serve`, `routes`, `call`, `login`, `logout`, `token`, `whoami`, `keys`, `users`.
 *
 * One file a command. `serve` alone runs a gateway in this process and `users` alone opens its database; the others read the
 * contract or are clients. Results go to standard output, everything said to a person goes to standard error.
 */
import { Command, CommanderError } from "commander";
import { ConfigError } from "#config/config.ts";
import { callCommand } from "./call.ts";
import { keysCommand, whoamiCommand } from "./keys.ts";
import { loginCommand, logoutCommand, tokenCommand } from "./login.ts";
import { routesCommand } from "./routes.ts";
import { serveCommand } from "./serve.ts";
import { CommandError, type ExitCode, type Terminal } from "./terminal.ts";
import { usersCommand } from "./users.ts";

/** Runs one command to its end. Never throws. */
export async function runCli(terminal: Terminal): Promise<ExitCode> {
  const program = new Command("portico")
    .description("One contract, every protocol: serves protobuf services over gRPC and REST.")
    .configureOutput({
      writeOut: (text) => terminal.out.write(text),
      writeErr: (text) => terminal.err.write(text),
    })
    .exitOverride()
    .showHelpAfterError("(portico --help lists the commands)");
  let exitCode: ExitCode = 0;
  const finish = (code: ExitCode): void => {
    exitCode = code;
  };
  const commands = [
    ...[serveCommand, routesCommand, callCommand],
    ...[loginCommand, logoutCommand, tokenCommand, whoamiCommand, keysCommand, usersCommand],
  ];
  for (const command of commands) program.addCommand(command(terminal, finish));
  for (const command of program.commands) inherit(command, program);
  try {
    await program.parseAsync([...terminal.argv], { from: "user" });
    return exitCode;
  } catch (error) {
    return explain(error, terminal);
  }
}

/** Commands made on their own do not get the program's settings by themselves. */
function inherit(command: Command, parent: Command): void {
  command.copyInheritedSettings(parent);
  for (const inner of command.commands) inherit(inner, command);
}

function explain(error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof ConfigError) {
    terminal.err.write(`portico: ${error.message}\n`);
    return 2;
  }
  if (error instanceof CommandError) {
    terminal.err.write(`portico: ${error.message}\n`);
    return error.exitCode;
  }
  terminal.err.write(`portico: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
}
