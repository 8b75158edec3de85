/**
 * A generator that waits for a message hears of its own end with the next one; this one hears at once, and whoever waits for that message
 * is told that there are no more.
 */
export function leavable<T>(
  leave: () => void,
  next: () => Promise<IteratorResult<T, undefined>>,
): AsyncGenerator<T, void, undefined> {
  const done = { done: true, value: undefined } as const;
  let left = false;
  const end = async (): Promise<IteratorReturnResult<undefined>> => {
    if (!left) {
      left = true;
      leave();
    }
    return done;
  };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.asyncDispose]: async () => void (await end()),
    next: async () => {
      if (left) return done;
      try {
        const result = await next();
        return left ? done : result;
      } catch (error) {
        if (left) return done;
        throw error;
      }
    },
    return: end,
    throw: async (error) => {
      await end();
      throw error;
    },
  };
}
