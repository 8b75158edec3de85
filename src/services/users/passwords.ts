/**
 * Passwords: argon2id over a peppered password, few at a time, and the same work for users that are not there.
 *
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
 * @see https://pages.nist.gov/800-63-4/sp800-63b.html (length, no rules of composition)
 */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { RpcError } from "#rpc/error.ts";
import type { Violation } from "#rpc/resource.ts";
import { type BreachList, emptyBreachList } from "./breach-list.ts";
import type { Secrets } from "./secrets.ts";

/** Argon2id (2) with 19 MiB and two passes: about 20 ms of one core. */
const cost = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** Each takes a core and its memory while it runs. */
const maxAtOnce = 4;
const maxWaiting = 64;
const minLength = 15;
const maxLength = 256;

export interface Passwords {
  /** What is wrong with a new one; nothing where it is good. */
  check(password: string, field: string): Promise<Violation[]>;
  /** @throws RpcError SIGN_IN_OVERLOADED. */
  hash(password: string): Promise<string>;
  /** @param stored empty: there is no password; takes as long as where there is one. @throws RpcError SIGN_IN_OVERLOADED. */
  matches(password: string, stored: string): Promise<boolean>;
}

function checkForm(password: string, field: string): Violation[] {
  const { length } = [...password.normalize("NFKC")];
  if (length < minLength)
    return [
      { field, description: `has fewer than ${minLength} characters; a few words are easier to remember` },
    ];
  if (length > maxLength) return [{ field, description: `has more than ${maxLength} characters` }];
  return new Set(password).size < 5 ? [{ field, description: "repeats too few characters" }] : [];
}

export function createPasswords(secrets: Secrets, breached: BreachList = emptyBreachList): Passwords {
  const turns = new Turns();
  // Loaded when the first password comes: a process that only looks at keys has no use for it.
  const argon2 = () => import("@node-rs/argon2");
  const run = async (password: string): Promise<string> =>
    await (await argon2()).hash(secrets.pepper(password), cost);
  // What a password is compared with where there is none.
  let nobody: Promise<string> | undefined;
  return {
    check: async (password, field) => {
      const violations = checkForm(password, field);
      if (violations.length > 0 || !(await breached.has(password))) return violations;
      return [{ field, description: "is on a list of passwords that others have lost; choose another" }];
    },
    hash: (password) => turns.take(() => run(password)),
    matches: (password, stored) =>
      turns.take(async () => {
        nobody ??= run("a password that nobody has");
        const against = stored === "" ? await nobody : stored;
        const { verify } = await argon2();
        return (await verify(against, secrets.pepper(password), cost)) && stored !== "";
      }),
  };
}

class Turns {
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= maxAtOnce) {
      if (this.#waiting.length >= maxWaiting)
        throw new RpcError("resource_exhausted", {
          reason: "SIGN_IN_OVERLOADED",
          message: "too many passwords are being checked at once; try again shortly",
          details: [create(RetryInfoSchema, { retryDelay: durationFromMs(1000) })],
        });
      // Who ends hands its turn over.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
