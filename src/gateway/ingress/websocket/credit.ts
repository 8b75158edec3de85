/** What a client said it takes: messages, counted down. */
export class Credit {
  /** Undefined: as many as come. */
  #left: number | undefined;
  #wake: (() => void) | undefined;
  #more: Promise<void> | undefined;

  /** @param first 0: no limit. */
  constructor(first: number) {
    this.#left = first === 0 ? undefined : first;
  }

  /** False: there is none. */
  take(): boolean {
    if (this.#left === undefined) return true;
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }

  /** When there is some again. Who waits has to ask for it then: others wait too. */
  more(): Promise<void> {
    this.#more ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    return this.#more;
  }

  add(messages: number): void {
    // Without a limit there is nothing to add to.
    if (this.#left === undefined) return;
    this.#left = Math.min(this.#left + messages, 2 ** 31);
    this.#wake?.();
    this.#wake = undefined;
    this.#more = undefined;
  }
}
