/** A read that Kysely compiled once: its text, and which argument stands at which place. */
import type { Compilable, Kysely } from "kysely";
import type { Parameter } from "./shape.ts";

/** Stands in a query for an argument that comes later. Kysely passes values it does not know through as they are. */
class Placeholder {
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
}

export interface CompiledRead {
  readonly sql: string;
  /** The values for one run, in the order of the text. */
  bind(parameters: readonly Parameter[]): readonly Parameter[];
}

export function compileRead<Schema>(
  db: Kysely<Schema>,
  build: (db: Kysely<Schema>, parameter: <T extends Parameter>(index: number) => T) => Compilable<unknown>,
): CompiledRead {
  const place = <T extends Parameter>(index: number): T => new Placeholder(index) as unknown as T;
  const { sql, parameters } = build(db, place).compile();
  const values = parameters as readonly (Placeholder | Parameter)[];
  const inOrder = values.every((value, at) => value instanceof Placeholder && value.index === at);
  return {
    sql,
    bind: (given) => {
      if (inOrder && given.length === values.length) return given;
      return values.map((value) => {
        if (!(value instanceof Placeholder)) return value;
        const argument = given[value.index];
        if (argument === undefined) throw new Error(`parameter ${value.index} of "${sql}" is missing`);
        return argument;
      });
    },
  };
}
