/** A generator that waits for a message hears of its own end with the next one; this one hears at once. */
export function leavable<T>(
  leave: () => void,
  next: () => Promise<IteratorResult<T, undefined>>,
): AsyncGenerator<T, void, undefined> {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.asyncDispose]: async () => leave(),
    next,
    return: async () => {
      leave();
      return { done: true, value: undefined };
    },
    throw: async (error) => {
      leave();
      throw error;
    },
  };
}
