/** What a command knows of the place it runs in: passed in, so that tests can run commands without a process. */
export interface Terminal {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WritableStream;
}

/**
 * Exit codes of every command: 0 done, 1 failed, 2 wrong usage or configuration, 3 not allowed, 4 not found, 5 conflict,
 * 6 nobody answers.
 */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** A failure that is told to the person in one line and ends the command. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}
