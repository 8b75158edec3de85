/**
 * Who may: every method asks for scopes, is for everybody, or is for administrators. What nobody decided is for administrators.
 *
 * Folded per method: a public one costs nothing, any other a look into a set. The "self" rule reads the request, and only
 * for callers who are known and lack the other scopes.
 */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { Call, UnaryCall } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import { allows } from "#rpc/principal.ts";

/** What a method asks of its callers. */
export interface MethodRule {
  readonly public: boolean;
  /** Any of these is enough; "self": anybody, for themselves. Empty: administrators. */
  readonly scopes: readonly string[];
  /** CEL over `principal` and `request`; has to be true besides. Absent or empty: none. */
  readonly rule?: string;
}

/** @throws Error naming the method, when the expression is none. */
export type RuleCompiler = (method: Method, expression: string) => (call: Call) => boolean;

export interface AuthorizeOptions {
  /** What compiles rules; absent where no method has one. */
  readonly rules?: RuleCompiler | undefined;
  /** Undefined: nobody decided. */
  ruleOf(method: Method): MethodRule | undefined;
}

export function createAuthorize(options: AuthorizeOptions): Interceptor {
  return (next, method) => {
    const rule = options.ruleOf(method) ?? { public: false, scopes: [] };
    if (rule.public) return next;
    const passed = withRule(next, method, { expression: rule.rule ?? "", rules: options.rules });
    const scopes = rule.scopes.filter((scope) => scope !== "self");
    const wanted = scopes.length === 0 && !rule.scopes.includes("self") ? ["*"] : scopes;
    const isSelf = rule.scopes.includes("self") ? compileSelf(method) : undefined;
    return (call) => {
      const { principal } = call;
      for (const scope of wanted) if (allows(principal.scopes, scope)) return passed(call);
      if (principal.name === "") throw missingCredential();
      if (isSelf?.(call) === true) return passed(call);
      throw missingScope(method, wanted, isSelf !== undefined);
    };
  };
}

function withRule(
  next: Handler,
  method: Method,
  { expression, rules }: { readonly expression: string; readonly rules: RuleCompiler | undefined },
): Handler {
  if (expression === "") return next;
  if (rules === undefined) throw new Error(`${method.name} has a rule, and nothing here compiles rules`);
  const holds = rules(method, expression);
  return (call) => {
    if (holds(call)) return next(call);
    throw new RpcError("permission_denied", {
      reason: "RULE_DENIED",
      message: `the rule of ${method.name} does not allow this request to you`,
      metadata: { method: method.name },
    });
  };
}

/** Where a request says whom it is about: "me", the caller's own id, or nothing; and a request that cannot say is about the caller. */
function compileSelf(method: Method): (call: Call) => boolean {
  const read = subjectOf(method.input.desc);
  if (read === undefined) return () => true;
  return (call) => {
    if (call.kind !== "unary") return false;
    const subject = read((call as UnaryCall).request.message() as unknown as Fields).replace(/^users\//, "");
    return subject === "" || subject === "me" || `users/${subject}` === call.principal.name;
  };
}

type Fields = Readonly<Record<string, unknown>>;

function subjectOf(desc: DescMessage): ((message: Fields) => string) | undefined {
  const field = (of: DescMessage, name: string): DescField | undefined =>
    of.fields.find((candidate) => candidate.name === name);
  const own = field(desc, "id") ?? field(desc, "principal");
  if (own !== undefined) return (message) => String(message[own.localName] ?? "");
  const user = field(desc, "user");
  const inner = user?.message && field(user.message, "id");
  if (user === undefined || inner === undefined) return undefined;
  return (message) => String((message[user.localName] as Fields | undefined)?.[inner.localName] ?? "");
}

function missingCredential(): RpcError {
  return new RpcError("unauthenticated", {
    reason: "CREDENTIAL_MISSING",
    message: "show who you are: send `Authorization: Bearer <token>` or `X-API-Key: <key>`",
  });
}

function missingScope(method: Method, wanted: readonly string[], self: boolean): RpcError {
  const needed = wanted.length === 1 && wanted[0] === "*" ? "an administrator" : wanted.join(" or ");
  return new RpcError("permission_denied", {
    reason: "SCOPE_MISSING",
    message: `${method.name} needs ${needed}${self ? " for anybody but yourself" : ""}`,
    metadata: { method: method.name, scopes: wanted.join(" ") },
  });
}
