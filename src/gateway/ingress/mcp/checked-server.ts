/**
 * What the library's schemas refuse is the client's mistake, and said in words. By itself the library calls it an internal error, and shows what
 * its validator found as JSON.
 */
import type { JSONRPCRequest, Result, ServerContext } from "@modelcontextprotocol/server";
import { fieldInvalid } from "#gateway/codec/field-error.ts";
import { type Library, protocolFailure } from "./failures.ts";

/** As the validator tells it. */
interface Issue {
  readonly code: string;
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly values?: readonly unknown[];
  /** Of a union: why it is none of its members. */
  readonly errors?: readonly (readonly Issue[])[];
}

type Handler = (request: JSONRPCRequest, context: ServerContext) => Promise<Result>;

const classes = new WeakMap<Library, Library["Server"]>();

/** The library's server, made once: the library is loaded late. */
export function checkedServerOf(library: Library): Library["Server"] {
  const known = classes.get(library);
  if (known !== undefined) return known;
  const made = class extends library.Server {
    protected override _wrapHandler(method: string, handler: Handler): Handler {
      const wrapped = super._wrapHandler(method, handler);
      return async (request, context) => {
        try {
          return await wrapped(request, context);
        } catch (thrown) {
          throw inWords(library, thrown);
        }
      };
    }
  };
  classes.set(library, made);
  return made;
}

/** What is no refusal of a schema stays as it is. */
function inWords(library: Library, thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const [, text] = /^(?:Invalid tools\/call request: )?(\[\s*\{.*\])$/s.exec(thrown.message) ?? [];
  if (text === undefined) return thrown;
  const [first] = issuesIn(text);
  if (first === undefined) return thrown;
  const [field, problem] = told(first);
  return protocolFailure(library, fieldInvalid(field, problem));
}

function issuesIn(text: string): readonly Issue[] {
  try {
    return JSON.parse(text) as readonly Issue[];
  } catch {
    return [];
  }
}

/** The field, as the client spelled it, and what is wrong with it. */
function told(issue: Issue): readonly [string, string] {
  const { path, message } = nearest(issue);
  const field = (path[0] === "params" && path.length > 1 ? path.slice(1) : path).join(".");
  const [, expected] = /expected (.*), received undefined$/.exec(message) ?? [];
  if (expected !== undefined) return [field, `is required: ${inJson(expected)}`];
  return [field, inJson(message.replace(/^Invalid (?:input|option): /, ""))];
}

/** The validator's word for an object with any names. */
function inJson(text: string): string {
  return text.replace(/\brecord\b/, "object");
}

/** Of a union: what is wrong with the member that was meant, which a value of its own tells from the others (`type`); or with all alike. */
function nearest(issue: Issue): Issue {
  const { errors = [], path } = issue;
  const meant = errors.filter((issues) => !issues.some(({ code }) => code === "invalid_value"));
  const [first] = meant[0] ?? [];
  const isSame = meant.every(([other]) => other?.message === first?.message);
  if (isSame && first !== undefined) return nearest({ ...first, path: [...path, ...first.path] });
  const wrong = errors.flatMap((issues) => issues.filter(({ code }) => code === "invalid_value"));
  const [one] = wrong;
  if (one === undefined) return issue;
  const values = wrong.flatMap(({ values = [] }) => values.map((value) => JSON.stringify(value)));
  return { ...one, path: [...path, ...one.path], message: `expected ${values.join(" or ")}` };
}
