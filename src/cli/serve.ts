/** `portico serve`: runs a gateway until it is told to stop. */
import { setFlagsFromString } from "node:v8";
import { Command, Option } from "commander";
import type { Portico } from "#compose.ts";
import {
  type Config,
  developmentHeaderOf,
  limitOptions,
  loadConfig,
  type OptionName,
  options,
} from "#config/config.ts";
import { CommandError, type ExitCode, type Terminal } from "./terminal.ts";
import { runWorkers, siblingsOf, tellParent } from "./workers.ts";

const stopSignals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const names = Object.keys(options) as OptionName[];

export function serveCommand(terminal: Terminal, finish: (code: ExitCode) => void): Command {
  const command = new Command("serve")
    .description("serve the contract over gRPC and REST until SIGTERM or SIGINT")
    .option("--config <FILE>", "configuration file (default: portico.config.ts here, where it exists)");
  for (const name of names) {
    const { flag, value, doc, env, default: fallback } = options[name];
    const option = new Option(`${flag} <${value}>`, `${doc} [${env}; default: ${fallback}]`);
    command.addOption(name in limitOptions ? option.hideHelp() : option);
  }
  command.addHelpText(
    "after",
    "\nLimits are options as well (--http2-max-streams, for example): docs/reference/configuration.md lists them.\n",
  );
  return command.action(async (given: Record<string, string>) => {
    finish(await serve(given, terminal));
  });
}

async function serve(given: Record<string, string>, terminal: Terminal): Promise<ExitCode> {
  const config = await loadConfig(
    { flags: flagsOf(given), env: terminal.env, file: given.config, cwd: terminal.cwd },
    "production",
  );
  if (config.workers > 1) {
    await runWorkers({ count: config.workers, terminal });
    return 0;
  }
  const siblings = siblingsOf();
  // Only here: the other commands start in half the time without a gateway's sources, and who runs workers needs none either.
  const { start } = await import("#compose.ts");
  const portico = await start(config, siblings).catch((error: unknown) => {
    throw new CommandError(1, startFailure(error, config));
  });
  // V8's default again, where main.ts kept the young generation small: calls make garbage that is worth the room.
  setFlagsFromString("--semi-space-growth-factor=2");
  siblings?.join(portico);
  // Before anybody is told that it serves, and may tell it to end.
  const stopped = stopSignal();
  const { httpPort, grpcPort } = portico;
  const text = greeting(config, portico);
  const isWorker = tellParent({ kind: "ready", httpPort, grpcPort, greeting: text });
  if (!isWorker) terminal.err.write(text);
  const failed = await Promise.race([stopped, failure()]);
  if (failed !== undefined)
    terminal.err.write(`portico: ends after an error that nobody handled: ${failed}\n`);
  if (!isWorker) terminal.err.write("portico: draining; a second signal ends at once\n");
  await portico.stop();
  return failed === undefined ? 0 : 1;
}

/**
 * An error that nobody handled: what it left behind cannot be known, so the process ends - but not in the middle of what it was asked.
 * A second one ends it at once.
 */
function failure(): Promise<string> {
  return new Promise((resolve) => {
    const fail = (error: unknown): void => {
      process.removeListener("uncaughtException", fail);
      process.removeListener("unhandledRejection", fail);
      resolve(error instanceof Error ? (error.stack ?? error.message) : String(error));
    };
    process.on("uncaughtException", fail);
    process.on("unhandledRejection", fail);
  });
}

/** Commander files flags under their camel-cased names, which are not always ours. */
function flagsOf(given: Record<string, string>): Partial<Record<OptionName, string>> {
  const flags: Partial<Record<OptionName, string>> = {};
  for (const name of names) {
    const value = given[new Option(options[name].flag).attributeName()];
    if (value !== undefined) flags[name] = value;
  }
  return flags;
}

function startFailure(error: unknown, config: Config): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "EADDRINUSE") {
    const port = "port" in error ? Number(error.port) : 0;
    const which = port === config.grpcPort ? options.grpcPort : options.httpPort;
    return `port ${port} is in use by another process; stop it, or choose another port with ${which.flag} or ${which.env}`;
  }
  return error.message;
}

function greeting(config: Config, portico: Portico): string {
  const lines = [
    `portico ${portico.version} (${config.mode})`,
    `  REST     ${portico.url}/api/v1/bpmn`,
    `  gRPC     ${config.host}:${portico.grpcPort}${config.reflection === "on" ? " (reflection on)" : ""}`,
    `  GraphQL  ${portico.url}/graphql`,
    `  MCP      ${portico.url}/mcp`,
    `  Socket   ${portico.url.replace("http", "ws")}/ws`,
    ...(config.docs === "on" ? [`  Docs     ${portico.url}/docs`] : []),
    `  Health   ${portico.url}/readyz`,
    `  Metrics  ${portico.url}/metrics`,
    `  Data     ${portico.database}`,
    ...hints(config, portico),
  ];
  return `${lines.join("\n")}\n`;
}

function hints(config: Config, portico: Portico): string[] {
  const list = `${portico.url}/api/v1/bpmn`;
  if (config.authentication === "off")
    return ["Authentication is off: everybody may do everything, on loopback only.", `Try: curl ${list}`];
  if (portico.developmentKeyFile === undefined) return [];
  return [
    `  Key      ${portico.developmentKeyFile} (users/admin; for development)`,
    `Try: curl -H @${developmentHeaderOf(portico.developmentKeyFile)} ${list}`,
  ];
}

/**
 * Resolves on the first SIGTERM, SIGINT or SIGHUP - a terminal that closes is no reason to drop calls; the second has its default effect and
 * ends the process.
 */
function stopSignal(): Promise<undefined> {
  return new Promise((resolve) => {
    const stop = (): void => {
      for (const signal of stopSignals) process.removeListener(signal, stop);
      resolve(undefined);
    };
    for (const signal of stopSignals) process.on(signal, stop);
  });
}
