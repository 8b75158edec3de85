/**
 * What workers of one parent ask each other: all their metrics, and that all of them change their log. A scrape, or a call, reaches one of
 * them; which one, the system decides.
 *
 * Questions go to the parent, which asks every worker and waits a second at most. Who does not answer is left out and counted.
 */
import type { ChildProcess } from "node:child_process";

/** How long the parent waits for answers, in milliseconds; a scrape has ten seconds. */
const patienceMs = 1000;

export interface LogChange {
  readonly level?: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  readonly bodyRatio?: number;
}

export type Question = { readonly about: "metrics" } | { readonly about: "log"; readonly change: LogChange };

export interface Answers {
  /** By place, from 1 on: whoever follows a worker that died has its place. */
  readonly texts: readonly { readonly worker: number; readonly text: string }[];
  /** Workers that did not answer. */
  readonly missing: number;
}

/** From a worker that wants to know, with its own answer. */
export interface Ask {
  readonly kind: "ask";
  readonly id: number;
  readonly question: Question;
  readonly own: string;
}

/** What a worker hears from its parent. */
export type FromParent =
  | { readonly kind: "place"; readonly worker: number; readonly count: number; readonly log: LogChange }
  /** Whether it lives. */
  | { readonly kind: "ping" }
  | { readonly kind: "question"; readonly id: number; readonly question: Question }
  | ({ readonly kind: "answers"; readonly id: number } & Answers);

/** To the parent: this worker's event loop runs. */
export interface Pong {
  readonly kind: "pong";
}

/** To the parent, which had asked. */
export interface Answer {
  readonly kind: "answer";
  readonly id: number;
  readonly text: string;
}

/** Of a parent: asks all workers at once. */
export class Circle {
  readonly #open = new Map<number, (text: string) => void>();
  #asked = 0;

  /** @param workers by place; undefined: nobody serves there now. @param own the answer of the one that wants to know. */
  async ask(
    question: Question,
    workers: readonly (ChildProcess | undefined)[],
    own: { readonly of: ChildProcess; readonly text: string },
  ): Promise<Answers> {
    const answers = await Promise.all(
      workers.map(async (child, place) => ({
        worker: place + 1,
        text: child === own.of ? own.text : await this.#askOne(child, question),
      })),
    );
    const texts = answers.flatMap(({ worker, text }) => (text === undefined ? [] : [{ worker, text }]));
    return { texts, missing: workers.length - texts.length };
  }

  /** A worker's. */
  answered({ id, text }: Answer): void {
    this.#open.get(id)?.(text);
  }

  /** Undefined: it did not answer. */
  async #askOne(child: ChildProcess | undefined, question: Question): Promise<string | undefined> {
    if (child === undefined) return undefined;
    this.#asked += 1;
    const id = this.#asked;
    return await new Promise<string | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), patienceMs);
      this.#open.set(id, (text) => {
        clearTimeout(timer);
        resolve(text);
      });
      tell(child, { kind: "question", id, question });
    }).finally(() => this.#open.delete(id));
  }
}

/** One that is ending hears nothing any more, and needs not to. */
export function tell(child: ChildProcess, message: FromParent): void {
  if (child.connected) child.send(message, () => undefined);
}

/** What a worker can be asked. */
export interface Self {
  renderMetrics(): string;
  changeLog(change: LogChange): void;
}

/** Of a worker: the way to the others. */
export class Siblings {
  readonly #open = new Map<number, (answers: Answers) => void>();
  #asked = 0;
  /** Undefined: no parent has said that there are others. */
  #place: { readonly worker: number; readonly count: number } | undefined;
  #self: Self | undefined;

  constructor() {
    process.on("message", (message) => this.#hear(message as FromParent));
  }

  /** From now on it answers, too. */
  join(self: Self): void {
    this.#self = self;
  }

  /** Undefined: this process is alone. */
  async metrics(own: string): Promise<Answers | undefined> {
    return await this.#ask({ about: "metrics" }, own);
  }

  /** Resolves when the others have done it. */
  async changeLog(change: LogChange): Promise<void> {
    await this.#ask({ about: "log", change }, "");
  }

  async #ask(question: Question, own: string): Promise<Answers | undefined> {
    if (this.#place === undefined || process.send === undefined) return undefined;
    const { worker, count } = this.#place;
    this.#asked += 1;
    const id = this.#asked;
    const answers = new Promise<Answers>((resolve) => {
      // A parent that hangs is no reason to know nothing.
      const alone = { texts: [{ worker, text: own }], missing: count - 1 };
      const timer = setTimeout(() => resolve(alone), 2 * patienceMs);
      this.#open.set(id, (all) => {
        clearTimeout(timer);
        resolve(all);
      });
    });
    process.send({ kind: "ask", id, question, own } satisfies Ask);
    return await answers.finally(() => this.#open.delete(id));
  }

  #hear(message: FromParent): void {
    switch (message.kind) {
      case "place":
        this.#place = message;
        this.#self?.changeLog(message.log);
        return;
      case "answers":
        this.#open.get(message.id)?.(message);
        return;
      case "ping":
        process.send?.({ kind: "pong" } satisfies Pong);
        return;
      case "question":
        process.send?.({
          kind: "answer",
          id: message.id,
          text: this.#answer(message.question),
        } satisfies Answer);
    }
  }

  #answer(question: Question): string {
    if (question.about === "metrics") return this.#self?.renderMetrics() ?? "";
    this.#self?.changeLog(question.change);
    return "";
  }
}
