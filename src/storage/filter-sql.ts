/** A filter as a condition for the database: only fields of a list, values always as parameters. */
import { type RawBuilder, type SqlBool, sql } from "kysely";
import { nearest } from "#std/nearest.ts";
import { type Comparator, type Filter, filterInvalid } from "./filter.ts";
import type { Engine } from "./shape.ts";

export type Condition = RawBuilder<SqlBool>;

/** Names a field that may be filtered by, in proto spelling; nested ones with dots. */
export type FilterFields = Readonly<Record<string, FilterField>>;

export interface FilterField {
  /** `time`: milliseconds since 1970 in the column, RFC 3339 in the filter. `map`: JSON of strings; `field.key = value`. */
  readonly type: "text" | "number" | "boolean" | "time" | "map";
  /** Column, with its table where there is more than one. */
  readonly column: string;
  /** For what stands in another table: "there is a row there with …". */
  readonly exists?: (condition: Condition) => Condition;
}

export interface FilterScope {
  readonly engine: Engine;
  readonly fields: FilterFields;
  /** Text fields that a value standing alone is looked for in. */
  readonly anywhere: readonly string[];
}

/**
 * Stands in parentheses: whatever a caller writes, it narrows the statement that it becomes part of.
 *
 * @throws RpcError FILTER_INVALID naming the field, its column and what is allowed.
 */
export function toCondition(filter: Filter, scope: FilterScope): Condition {
  return sql<SqlBool>`(${bare(filter, scope)})`;
}

function bare(filter: Filter, scope: FilterScope): Condition {
  switch (filter.kind) {
    case "not":
      return sql`NOT ${toCondition(filter.part, scope)}`;
    case "and":
    case "or": {
      const parts = filter.parts.map((part) => toCondition(part, scope));
      return sql<SqlBool>`${sql.join(parts, filter.kind === "and" ? sql` AND ` : sql` OR `)}`;
    }
    case "restriction":
      return filter.field === "" ? anywhere(filter, scope) : restriction(filter, scope);
  }
}

type Restriction = Extract<Filter, { kind: "restriction" }>;

function anywhere({ value }: Restriction, scope: FilterScope): Condition {
  const parts = scope.anywhere.map((name) => {
    const field = scope.fields[name];
    if (field === undefined) throw new Error(`${name} is not a field`);
    const condition = like(sql.ref(field.column), `*${value}*`, scope.engine);
    return sql`(${field.exists === undefined ? condition : field.exists(condition)})`;
  });
  return sql<SqlBool>`${sql.join(parts, sql` OR `)}`;
}

function restriction(one: Restriction, scope: FilterScope): Condition {
  const { field, key } = findField(one, scope.fields);
  const positive = one.comparator === "!=" ? { ...one, comparator: "=" as const } : one;
  const condition = compare(field, { ...positive, key }, scope.engine);
  const whole = field.exists === undefined ? condition : field.exists(condition);
  return one.comparator === "!=" ? sql<SqlBool>`NOT (${whole})` : whole;
}

/** `displayName` and `display_name` are the same field; a map's key is what follows its name. */
function findField(one: Restriction, fields: FilterFields): { field: FilterField; key: string } {
  const direct = fieldOf(one.field, fields);
  if (direct !== undefined && direct.type !== "map") return { field: direct, key: "" };
  const dot = one.field.indexOf(".");
  const map = dot === -1 ? undefined : fieldOf(one.field.slice(0, dot), fields);
  if (map?.type === "map") return { field: map, key: one.field.slice(dot + 1) };
  if (direct !== undefined && one.comparator === ":") return { field: direct, key: one.value };
  if (direct !== undefined)
    throw filterInvalid(
      `"${one.field}" is a map; compare one of its keys: ${one.field}.key = value`,
      one.column,
    );
  const names = Object.keys(fields);
  const near = nearest(snake(one.field), names);
  throw filterInvalid(
    `"${one.field.slice(0, 100)}" cannot be filtered by${near === undefined ? "" : `; did you mean ${near}?`} (${names.join(", ")})`,
    one.column,
  );
}

/** Its own alone: every object answers to `constructor`. */
function fieldOf(name: string, fields: FilterFields): FilterField | undefined {
  const spelled = snake(name);
  return Object.hasOwn(fields, spelled) ? fields[spelled] : undefined;
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

type Compared = Restriction & { readonly key: string };

function compare(field: FilterField, one: Compared, engine: Engine): Condition {
  const column = sql.ref(field.column);
  switch (field.type) {
    case "text":
      return compareText(column, one, engine);
    case "map":
      return compareMap(column, one, engine);
    case "boolean": {
      if (one.value !== "true" && one.value !== "false")
        throw filterInvalid(`${one.field} is true or false, not "${one.value.slice(0, 50)}"`, one.column);
      if (one.comparator !== "=" && one.comparator !== ":") throw wrongComparator(one);
      return sql<SqlBool>`${column} = ${one.value === "true" ? 1 : 0}`;
    }
    case "number": {
      const number = Number(one.value);
      if (one.value.trim() === "" || !Number.isFinite(number))
        throw filterInvalid(`${one.field} is a number, not "${one.value.slice(0, 50)}"`, one.column);
      return compareNumber(column, one, number);
    }
    case "time":
      return compareNumber(column, one, timeOf(one));
  }
}

const operators: Readonly<Partial<Record<Comparator, RawBuilder<unknown>>>> = {
  "=": sql`=`,
  "<": sql`<`,
  "<=": sql`<=`,
  ">": sql`>`,
  ">=": sql`>=`,
};

function compareNumber(column: RawBuilder<unknown>, one: Compared, value: number): Condition {
  const operator = operators[one.comparator];
  if (operator === undefined) throw wrongComparator(one);
  return sql<SqlBool>`${column} ${operator} ${value}`;
}

function timeOf(one: Compared): number {
  const form = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d))?$/;
  const ms = form.test(one.value) ? Date.parse(one.value) : Number.NaN;
  if (Number.isNaN(ms))
    throw filterInvalid(
      `${one.field} is a time such as "2030-01-31T12:00:00Z", not "${one.value.slice(0, 50)}"`,
      one.column,
    );
  return ms;
}

/** `=` with a star and `:` look for parts; everything else compares whole, byte by byte. */
function compareText(column: RawBuilder<unknown>, one: Compared, engine: Engine): Condition {
  if (one.comparator === ":") return like(column, `*${one.value}*`, engine);
  if (one.comparator === "=" && hasStar(one.value)) return like(column, one.value, engine);
  const operator = operators[one.comparator];
  if (operator === undefined) throw wrongComparator(one);
  return sql<SqlBool>`${column} ${operator} ${one.value.replaceAll("\\*", "*")}`;
}

/** `labels:key`: has the key. `labels.key = value`: has it with that value. */
function compareMap(column: RawBuilder<unknown>, one: Compared, engine: Engine): Condition {
  const has = one.key === one.value && one.comparator === ":" && !one.field.includes(".");
  const value: RawBuilder<unknown> =
    engine === "sqlite"
      ? sql`(SELECT value FROM json_each(${column}) WHERE key = ${one.key})`
      : sql`((${column})::jsonb ->> ${one.key}::text)`;
  if (has) return sql<SqlBool>`${value} IS NOT NULL`;
  return sql<SqlBool>`COALESCE(${compareText(value, one, engine)}, FALSE)`;
}

function hasStar(value: string): boolean {
  return /(?<!\\)\*/.test(value);
}

/** Both engines, case by case: SQLite's LIKE ignores case and its GLOB does not; PostgreSQL has no GLOB. */
function like(column: RawBuilder<unknown>, pattern: string, engine: Engine): Condition {
  const parts = pattern.split(/(?<!\\)\*+/).map((part) => part.replaceAll("\\*", "*"));
  if (engine === "sqlite") {
    const glob = parts.map((part) => part.replace(/[[*?]/g, (letter) => `[${letter}]`)).join("*");
    return sql<SqlBool>`${column} GLOB ${glob}`;
  }
  const escaped = parts.map((part) => part.replace(/[\\%_]/g, (letter) => `\\${letter}`)).join("%");
  return sql<SqlBool>`${column} LIKE ${escaped}`;
}

function wrongComparator(one: Compared) {
  return filterInvalid(`${one.field} cannot be compared by ${one.comparator}`, one.column);
}
