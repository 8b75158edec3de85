/**
 * The policies of what comes before calls: who asks, how often, and whether there is room for it.
 *
 * In another order than a call's: what a request may cost is known only where all that is in the queue has been let in by its caller's limit. So who sends too
 * much is told that, and not everybody else that there is too much.
 */
import type { Door, Entry, Identity } from "#rpc/door.ts";
import { localPrincipal, type Principal } from "#rpc/principal.ts";
import type { Clock } from "#std/clock.ts";
import type { Admission } from "../admit/admit.ts";
import type { Authenticator } from "../authenticate/authenticator.ts";
import type { Limiter } from "../limit/limit.ts";

export interface DoorParts {
  /** Undefined: nobody asks who calls, and nobody is limited. */
  readonly identified:
    | { readonly authenticator: Pick<Authenticator, "principalOf">; readonly limiter: Limiter }
    | undefined;
  readonly admission: Admission;
  readonly clock: Clock;
}

export function createDoor({ identified, admission, clock }: DoorParts): Door {
  const { run } = admission;
  if (identified === undefined) {
    const everybody: Identity = { principal: localPrincipal, foundAtMs: Number.POSITIVE_INFINITY };
    return {
      run,
      enter: (entry) => {
        entry.identity = everybody;
      },
    };
  }
  const { authenticator, limiter } = identified;
  const enterAs = (
    entry: Entry,
    found: { principal: Principal } | { error: unknown },
  ): Promise<void> | undefined => {
    entry.identity = { ...found, foundAtMs: clock.monotonic() };
    return limiter.enter(entry);
  };
  return {
    run,
    enter: (entry) => {
      let found: Principal | Promise<Principal>;
      try {
        found = authenticator.principalOf(entry);
      } catch (error) {
        return enterAs(entry, { error });
      }
      if (!(found instanceof Promise)) return enterAs(entry, { principal: found });
      return found.then(
        (principal) => enterAs(entry, { principal }),
        (error: unknown) => enterAs(entry, { error }),
      );
    },
  };
}
