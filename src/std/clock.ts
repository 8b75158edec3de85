/**
 * Time as a dependency. Only this file asks the system for it, so that everything that waits or stamps can be tested
 * with a clock that is moved by hand.
 */
export interface Clock {
  /** Wall time in milliseconds since 1970 (UTC); for stamps, never for measuring. */
  now(): number;
  /** Monotonic time in milliseconds, with fractions; for measuring and deadlines. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
