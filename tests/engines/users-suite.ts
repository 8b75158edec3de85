/**
 * What the users service and its policies promise on every engine, asked over REST. Long because it is one life of one installation: the
 * tests share a server, a clock that they move, and people who were made before.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { UsersTables } from "#services/users/tables.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { type Answer, ask, bpmnXml, reasonOf } from "../support/portico.ts";

const password = "correct horse battery staple";
const second = "wrong donkey accumulator clip";
const day = 24 * 3600 * 1000;

export function usersSuite(fresh: () => Promise<string>): void {
  describe("users", () => {
    const time = { now: Date.now() };
    let server: IdentityServer;
    before(async () => {
      const clock = { now: () => time.now, monotonic: () => time.now };
      server = await startIdentity({ databaseUrl: await fresh(), clock });
    });
    after(() => server.close());

    const as = (credential: string | undefined) => (method: string, path: string, body?: unknown) =>
      ask(server.base, method, `/api/v1/${path}`, {
        headers: {
          "user-agent": "suite",
          ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
        },
        ...(body === undefined ? {} : { body }),
      });
    const admin = (method: string, path: string, body?: unknown) => as(server.adminKey)(method, path, body);
    const nobody = (method: string, path: string, body?: unknown) => as(undefined)(method, path, body);
    /** Of a creation: it says where to read what was made. */
    const created = (answer: Answer) => {
      assert.equal(answer.status, 201, answer.text);
      assert.match(answer.headers.get("location") ?? "", /^http:\/\/127\.0\.0\.1:\d+\/api\/v1\/\w+\/[^/]+$/);
      return answer.json;
    };
    /** Of what has no answer. */
    const done = (answer: Answer) => {
      assert.deepEqual([answer.status, answer.text], [204, ""]);
    };
    const ok = (answer: Answer) => {
      assert.equal(answer.status, 200, answer.text);
      return answer.json;
    };
    const refused = (answer: Answer, status: number, reason: string, about?: RegExp) => {
      assert.deepEqual([answer.status, reasonOf(answer)], [status, reason], answer.text);
      if (about !== undefined) assert.match(answer.json.message, about);
    };
    let people = 0;
    const person = async (roles: string[] = ["roles/editor"]): Promise<{ id: string; email: string }> => {
      people += 1;
      const id = `person-${people}`;
      const email = `${id}@example.org`;
      created(await admin("POST", `users?userId=${id}`, { email, roles }));
      done(await admin("DELETE", `users/${id}`));
      const user = { user: { email, roles }, userId: id, password };
      ok(await admin("POST", "users:batchCreate", { requests: [user] }));
      return { id, email };
    };
    const signIn = async (email: string, given = password) =>
      ok(await nobody("POST", "auth:signIn", { email, password: given }));
    /** What a credential stands for is kept for two seconds. */
    const forget = (): void => {
      time.now += 2001;
    };

    test("a person is created, read, changed and deleted", async () => {
      const made = created(
        await admin("POST", "users?userId=ana", {
          email: "Ana@Example.org",
          displayName: "Ana",
          roles: ["roles/editor", "roles/viewer", "roles/editor"],
          labels: { team: "a" },
        }),
      );
      assert.deepEqual(
        [made.name, made.email, made.state, made.kind, made.roles],
        ["users/ana", "ana@example.org", "INVITED", "PERSON", ["roles/editor", "roles/viewer"]],
      );
      assert.deepEqual(made.effectiveScopes, [
        "apiKeys:read",
        "apiKeys:write",
        "bpmn:read",
        "bpmn:write",
        "events:read",
      ]);
      assert.deepEqual(ok(await admin("GET", "users/ana")), made);
      const changed = ok(
        await admin("PATCH", "users/ana", { displayName: "Ana P", roles: [], etag: made.etag }),
      );
      assert.deepEqual([changed.displayName, changed.roles, changed.labels], ["Ana P", [], { team: "a" }]);
      refused(
        await admin("PATCH", "users/ana", { displayName: "late", etag: made.etag }),
        409,
        "ETAG_MISMATCH",
      );
      refused(await admin("DELETE", `users/ana?etag=${made.etag}`), 409, "ETAG_MISMATCH");
      done(await admin("DELETE", "users/ana"));
      refused(await admin("GET", "users/ana"), 404, "RESOURCE_NOT_FOUND");
    });

    test("what is wrong with a user is said at once, and nothing is stored", async () => {
      const answer = await admin("POST", "users?userId=Bad!", {
        email: "no mail",
        displayName: "x".repeat(201),
        roles: ["editor"],
      });
      refused(
        answer,
        400,
        "FIELD_INVALID",
        /user.displayName.*user.email.*user.roles\[0\].*write roles\/editor.*userId/,
      );
      refused(await admin("POST", "users", { displayName: "x" }), 400, "FIELD_INVALID", /user.email/);
      refused(
        await admin("POST", "users", { email: "a@b", roles: ["roles/none"] }),
        400,
        "FIELD_INVALID",
        /there is no roles\/none/,
      );
      refused(await admin("POST", "users", { email: "a@b", password: "x" }), 400, "FIELD_UNKNOWN");
      const short = { requests: [{ user: { email: "a@b" }, password: "short" }] };
      refused(
        await admin("POST", "users:batchCreate", short),
        400,
        "FIELD_INVALID",
        /requests\[0\]: password: has fewer than 15/,
      );
      const service = { requests: [{ user: { kind: "SERVICE" }, password }] };
      refused(await admin("POST", "users:batchCreate", service), 400, "FIELD_INVALID", /API keys instead/);
    });

    test("ids and e-mails are taken once, and a batch is all or nothing", async () => {
      const { id, email } = await person();
      refused(
        await admin("POST", `users?userId=${id}`, { email: "other@example.org" }),
        409,
        "RESOURCE_EXISTS",
      );
      refused(
        await admin("POST", "users", { email: email.toUpperCase() }),
        409,
        "EMAIL_TAKEN",
        new RegExp(id),
      );
      const requests = [
        { user: { email: "batch-1@example.org" }, userId: "batch-1" },
        { user: { email }, userId: "batch-2" },
      ];
      refused(await admin("POST", "users:batchCreate", { requests }), 409, "EMAIL_TAKEN", /^requests\[1\]: /);
      refused(await admin("GET", "users/batch-1"), 404, "RESOURCE_NOT_FOUND");
      const both = ok(await admin("GET", `users:batchGet?ids=${id}&ids=admin`));
      assert.deepEqual(
        both.users.map((user: { id: string }) => user.id),
        [id, "admin"],
      );
      refused(
        await admin("GET", "users:batchGet?ids=admin&ids=gone"),
        404,
        "RESOURCE_NOT_FOUND",
        /^ids\[1\]/,
      );
    });

    test("lists are filtered, ordered and paged", async () => {
      for (const id of ["list-c", "list-a", "list-b"])
        created(
          await admin("POST", `users?userId=${id}`, {
            kind: "SERVICE",
            displayName: `List ${id}`,
            roles: ["roles/worker"],
          }),
        );
      const filter = encodeURIComponent(
        'displayName = "List*" AND roles = "roles/worker" AND kind = "SERVICE"',
      );
      const query = `users?filter=${filter}&pageSize=2&orderBy=${encodeURIComponent("display_name desc")}`;
      const first = ok(await admin("GET", `${query}&includeTotalSize=true`));
      const next = ok(await admin("GET", `${query}&pageToken=${encodeURIComponent(first.nextPageToken)}`));
      const ids = [...first.users, ...next.users].map((user: { id: string }) => user.id);
      assert.deepEqual([ids, first.totalSize, next.nextPageToken], [["list-c", "list-b", "list-a"], 3, ""]);
      refused(await admin("GET", "users?filter=password%3Dx"), 400, "FILTER_INVALID");
      refused(await admin("GET", "users?orderBy=password"), 400, "ORDER_INVALID");
      refused(await admin("GET", "users?pageSize=-1"), 400, "FIELD_INVALID");
    });

    test("sign-in answers tokens; a wrong password, an unknown user and an invited one get one answer", async () => {
      const { id, email } = await person();
      const tokens = await signIn(email.toUpperCase());
      assert.deepEqual(
        [tokens.tokenType, tokens.expiresIn, tokens.user.name],
        ["Bearer", "600s", `users/${id}`],
      );
      assert.equal(ok(await as(tokens.accessToken)("GET", "me")).id, id);
      assert.ok(ok(await admin("GET", `users/${id}`)).lastSignInTime);
      created(await admin("POST", "users?userId=invited", { email: "invited@example.org" }));
      const wrong = await nobody("POST", "auth:signIn", { email, password: second });
      const unknown = await nobody("POST", "auth:signIn", { email: "who@example.org", password });
      const invited = await nobody("POST", "auth:signIn", { email: "invited@example.org", password: "" });
      const withoutId = (answer: Answer) =>
        JSON.stringify({ ...answer.json, details: answer.json.details.slice(0, 1) });
      refused(wrong, 401, "SIGN_IN_REFUSED");
      assert.equal(withoutId(unknown), withoutId(wrong));
      refused(invited, 400, "FIELD_INVALID", /password: must not be empty/);
    });

    test("eleven attempts within a quarter of an hour are one too many, for one account alone", async () => {
      const { email } = await person();
      const attempt = () => nobody("POST", "auth:signIn", { email, password: second });
      for (let count = 0; count < 10; count += 1) refused(await attempt(), 401, "SIGN_IN_REFUSED");
      const limited = await attempt();
      refused(limited, 429, "SIGN_IN_LIMITED");
      assert.equal(limited.headers.get("retry-after"), "90");
      await signIn((await person()).email);
      // Attempts that processes share are counted by the database's clock: there the time has to pass as well.
      const { engine, db } = server.storage.tables<{ policy_limits: { full_at: number } }>();
      if (engine === "postgres")
        await db
          .updateTable("policy_limits")
          .set(({ eb }) => ({ full_at: eb("full_at", "-", 91_000) }))
          .execute();
      time.now += 91_000;
      await signIn(email);
    });

    test("a refresh token is good once; used again it ends its session", async () => {
      const { email } = await person();
      const one = await signIn(email);
      const two = ok(await nobody("POST", "auth:refresh", { refreshToken: one.refreshToken }));
      assert.notEqual(two.refreshToken, one.refreshToken);
      const again = ok(await nobody("POST", "auth:refresh", { refreshToken: one.refreshToken }));
      assert.ok(again.accessToken, "within ten seconds the same client is forgiven");
      time.now += 10_001;
      refused(
        await nobody("POST", "auth:refresh", { refreshToken: two.refreshToken }),
        401,
        "REFRESH_TOKEN_INVALID",
      );
      refused(
        await nobody("POST", "auth:refresh", { refreshToken: again.refreshToken }),
        401,
        "REFRESH_TOKEN_INVALID",
      );
      refused(await as(again.accessToken)("GET", "me"), 401, "CREDENTIAL_INVALID");
      for (const refreshToken of ["", "x", `prt_${"0".repeat(26)}_${"a".repeat(43)}`, "x".repeat(100_000)])
        refused(await nobody("POST", "auth:refresh", { refreshToken }), 401, "REFRESH_TOKEN_INVALID");
    });

    test("an old refresh token of another client is not forgiven, however fresh", async () => {
      const { email } = await person();
      const one = await signIn(email);
      const two = ok(await nobody("POST", "auth:refresh", { refreshToken: one.refreshToken }));
      const thief = await ask(server.base, "POST", "/api/v1/auth:refresh", {
        headers: { "user-agent": "thief" },
        body: { refreshToken: one.refreshToken },
      });
      refused(thief, 401, "REFRESH_TOKEN_INVALID");
      refused(
        await nobody("POST", "auth:refresh", { refreshToken: two.refreshToken }),
        401,
        "REFRESH_TOKEN_INVALID",
      );
    });

    test("sessions are listed and ended, one or all, by oneself and by others", async () => {
      const { id, email } = await person();
      const [a, b] = [await signIn(email), await signIn(email)];
      const mine = ok(await as(a.accessToken)("GET", "users/me/sessions")).sessions;
      assert.deepEqual(mine.map((session: { current: boolean }) => session.current).sort(), [false, true]);
      done(await as(a.accessToken)("POST", "auth:signOut", {}));
      forget();
      refused(await as(a.accessToken)("GET", "me"), 401, "CREDENTIAL_INVALID");
      ok(await as(b.accessToken)("GET", "me"));
      done(await admin("POST", `users/${id}:revokeSessions`, {}));
      forget();
      refused(await as(b.accessToken)("GET", "me"), 401, "CREDENTIAL_INVALID");
      refused(await admin("POST", "auth:signOut", {}), 400, "FIELD_INVALID", /everywhere/);
    });

    test("a session ends after a day without use, and after thirty days in any case", async () => {
      const { email } = await person();
      let tokens = await signIn(email);
      for (let passed = 0; passed < 30; passed += 1) {
        time.now += day - 1000;
        const answer = await nobody("POST", "auth:refresh", { refreshToken: tokens.refreshToken });
        if (answer.status !== 200) break;
        tokens = answer.json;
        assert.ok(passed < 30);
      }
      time.now += 40_000;
      refused(
        await nobody("POST", "auth:refresh", { refreshToken: tokens.refreshToken }),
        401,
        "REFRESH_TOKEN_INVALID",
      );
      const idle = await signIn(email);
      time.now += day + 1;
      refused(
        await nobody("POST", "auth:refresh", { refreshToken: idle.refreshToken }),
        401,
        "REFRESH_TOKEN_INVALID",
      );
    });

    test("a new password needs the old one and ends the other sessions", async () => {
      const { email } = await person();
      const [a, b] = [await signIn(email), await signIn(email)];
      const change = (currentPassword: string, newPassword: string) =>
        as(a.accessToken)("POST", "auth:changePassword", { currentPassword, newPassword });
      refused(await change(second, second), 401, "SIGN_IN_REFUSED");
      refused(await change(password, "short"), 400, "FIELD_INVALID", /newPassword/);
      done(await change(password, second));
      forget();
      ok(await as(a.accessToken)("GET", "me"));
      refused(await as(b.accessToken)("GET", "me"), 401, "CREDENTIAL_INVALID");
      refused(await nobody("POST", "auth:signIn", { email, password }), 401, "SIGN_IN_REFUSED");
      await signIn(email, second);
    });

    test("suspension ends sessions and stops keys within five seconds; reactivation lets in again", async () => {
      const { id, email } = await person();
      const tokens = await signIn(email);
      const { secret } = created(await as(tokens.accessToken)("POST", "apiKeys", { displayName: "mine" }));
      ok(await as(secret)("GET", "me"));
      assert.equal(ok(await admin("POST", `users/${id}:suspend`, {})).state, "SUSPENDED");
      refused(await admin("POST", `users/${id}:suspend`, {}), 409, "STATE_TRANSITION_INVALID");
      forget();
      refused(await as(tokens.accessToken)("GET", "me"), 401, "CREDENTIAL_INVALID");
      refused(await as(secret)("GET", "me"), 401, "CREDENTIAL_INVALID");
      refused(await nobody("POST", "auth:signIn", { email, password }), 401, "SIGN_IN_REFUSED");
      refused(
        await nobody("POST", "auth:refresh", { refreshToken: tokens.refreshToken }),
        401,
        "REFRESH_TOKEN_INVALID",
      );
      assert.equal(ok(await admin("POST", `users/${id}:reactivate`, {})).state, "ACTIVE");
      ok(await as(secret)("GET", "me"));
      await signIn(email);
    });

    test("nobody suspends or deletes themselves, or gives, takes and touches more than they have", async () => {
      const role = {
        displayName: "Clerk",
        scopes: ["users:read", "users:write", "bpmn:read", "events:read", "roles:write", "roles:read"],
      };
      created(await admin("POST", "roles?roleId=clerk", role));
      const clerk = as((await signIn((await person(["roles/clerk"])).email)).accessToken);
      refused(await clerk("POST", "users/me:suspend", {}), 403, "SELF_FORBIDDEN");
      refused(await clerk("DELETE", "users/me"), 403, "SELF_FORBIDDEN");
      refused(
        await clerk("POST", "users", { email: "up@example.org", roles: ["roles/admin"] }),
        403,
        "SCOPE_EXCEEDED",
      );
      refused(await clerk("PATCH", "users/me", { roles: ["roles/admin"] }), 403, "SCOPE_EXCEEDED");
      refused(await clerk("PATCH", "users/admin", { email: "me@example.org" }), 403, "SCOPE_EXCEEDED");
      refused(await clerk("POST", "users/admin:suspend", {}), 403, "SCOPE_EXCEEDED");
      refused(await clerk("POST", "users/admin:revokeSessions", {}), 403, "SCOPE_EXCEEDED");
      refused(await clerk("DELETE", "users/admin"), 403, "SCOPE_EXCEEDED");
      refused(await clerk("POST", "roles?roleId=more", { scopes: ["bpmn:write"] }), 403, "SCOPE_EXCEEDED");
      refused(await clerk("PATCH", "roles/clerk", { scopes: ["*"] }), 403, "SCOPE_EXCEEDED");
      created(await clerk("POST", "users", { email: "viewer@example.org", roles: ["roles/viewer"] }));
    });

    test("people may change their own name and labels, and nothing else of theirs or others'", async () => {
      const own = as((await signIn((await person(["roles/viewer"])).email)).accessToken);
      assert.equal(ok(await own("PATCH", "users/me", { displayName: "New" })).displayName, "New");
      refused(await own("PATCH", "users/me", { email: "new@example.org" }), 403, "SCOPE_MISSING", /email/);
      refused(await own("PATCH", "users/me", { roles: ["roles/admin"] }), 403, "SCOPE_MISSING", /roles/);
      refused(await own("GET", "users/admin"), 403, "SCOPE_MISSING", /users:read for anybody but yourself/);
      refused(await own("PATCH", "users/admin", { displayName: "x" }), 403, "SCOPE_MISSING");
      refused(await own("GET", "users"), 403, "SCOPE_MISSING");
    });

    test("keys: shown once, narrowed, for a network, rotated with an overlap, revoked, over", async () => {
      const own = as((await signIn((await person()).email)).accessToken);
      const { apiKey, secret } = created(
        await own("POST", "apiKeys", { displayName: "k", scopes: ["bpmn:read"] }),
      );
      assert.match(secret, /^ptk_test_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}$/);
      assert.deepEqual(
        [apiKey.state, apiKey.hint, apiKey.scopes],
        ["ACTIVE", secret.slice(0, 19), ["bpmn:read"]],
      );
      assert.ok(!JSON.stringify(ok(await own("GET", `apiKeys/${apiKey.id}`))).includes(secret.slice(20)));
      refused(await own("POST", "apiKeys", { scopes: ["users:write"] }), 403, "SCOPE_EXCEEDED");
      refused(await own("POST", "apiKeys", { owner: "users/admin" }), 403, "SCOPE_EXCEEDED", /apiKeys:admin/);
      refused(await as(secret)("POST", "bpmn", {}), 403, "SCOPE_MISSING");
      ok(await as(secret)("GET", "bpmn"));

      const rotated = ok(await own("POST", `apiKeys/${apiKey.id}:rotate`, { overlap: "60s" }));
      assert.equal(rotated.apiKey.state, "ROTATING");
      forget();
      ok(await as(secret)("GET", "bpmn"));
      ok(await as(rotated.secret)("GET", "bpmn"));
      time.now += 61_000;
      refused(await as(secret)("GET", "bpmn"), 401, "CREDENTIAL_INVALID");
      ok(await as(rotated.secret)("GET", "bpmn"));
      assert.ok(ok(await own("GET", `apiKeys/${apiKey.id}`)).lastUseTime);

      ok(await own("PATCH", `apiKeys/${apiKey.id}`, { allowedNetworks: ["10.0.0.0/8", "2001:db8::/32"] }));
      forget();
      refused(await as(rotated.secret)("GET", "bpmn"), 401, "CREDENTIAL_INVALID");
      ok(await own("PATCH", `apiKeys/${apiKey.id}`, { allowedNetworks: ["127.0.0.0/8", "::1"] }));
      ok(await as(rotated.secret)("GET", "bpmn"));
      refused(
        await own("PATCH", `apiKeys/${apiKey.id}`, { allowedNetworks: ["10.0.0.0/33"] }),
        400,
        "FIELD_INVALID",
      );

      assert.equal(ok(await own("POST", `apiKeys/${apiKey.id}:revoke`, {})).state, "REVOKED");
      forget();
      refused(await as(rotated.secret)("GET", "bpmn"), 401, "CREDENTIAL_INVALID");
      refused(await own("POST", `apiKeys/${apiKey.id}:rotate`, {}), 409, "STATE_TRANSITION_INVALID");
    });

    test("keys end after ninety days, and at most a year from now", async () => {
      const { id } = await person();
      const key = created(await admin("POST", "apiKeys", { owner: `users/${id}`, scopes: ["bpmn:read"] }));
      ok(await as(key.secret)("GET", "bpmn"));
      time.now += 91 * day;
      refused(await as(key.secret)("GET", "bpmn"), 401, "CREDENTIAL_INVALID");
      assert.equal(ok(await admin("GET", `apiKeys/${key.apiKey.id}`)).state, "EXPIRED");
      const far = new Date(time.now + 400 * day).toISOString();
      refused(await admin("POST", "apiKeys", { expireTime: far }), 400, "FIELD_INVALID", /366 days/);
    });

    test("everybody sees their own keys; who has apiKeys:admin sees all", async () => {
      const [a, b] = [
        as((await signIn((await person()).email)).accessToken),
        as((await signIn((await person()).email)).accessToken),
      ];
      const { apiKey } = created(await a("POST", "apiKeys", { displayName: "of a" }));
      refused(await b("GET", `apiKeys/${apiKey.id}`), 404, "RESOURCE_NOT_FOUND");
      refused(await b("POST", `apiKeys/${apiKey.id}:revoke`, {}), 404, "RESOURCE_NOT_FOUND");
      assert.deepEqual(ok(await b("GET", "apiKeys")).apiKeys, []);
      const all: string[] = [];
      for (let token = ""; ; ) {
        const page = ok(await admin("GET", `apiKeys?pageSize=2&pageToken=${encodeURIComponent(token)}`));
        all.push(...page.apiKeys.map((key: { id: string }) => key.id));
        token = page.nextPageToken;
        if (token === "") break;
      }
      assert.ok(all.includes(apiKey.id) && new Set(all).size === all.length);
    });

    test("roles: created, changed with effect at once, in use, built in", async () => {
      const made = created(await admin("POST", "roles?roleId=reader", { scopes: ["bpmn:*"] }));
      assert.deepEqual([made.displayName, made.builtIn], ["reader", false]);
      const reader = as((await signIn((await person(["roles/reader"])).email)).accessToken);
      ok(await reader("GET", "bpmn"));
      ok(await admin("PATCH", "roles/reader", { scopes: ["users:read"] }));
      forget();
      refused(await reader("GET", "bpmn"), 403, "SCOPE_MISSING");
      ok(await reader("GET", "users"));
      refused(await admin("DELETE", "roles/reader"), 400, "ROLE_IN_USE");
      refused(await admin("PATCH", "roles/editor", { scopes: ["*"] }), 400, "ROLE_BUILT_IN");
      refused(await admin("POST", "roles?roleId=editor", { scopes: [] }), 409, "RESOURCE_EXISTS");
      refused(
        await admin("POST", "roles?roleId=x1", { scopes: ["everything", "a:b:c"] }),
        400,
        "FIELD_INVALID",
        /scopes\[0\].*scopes\[1\]/,
      );
      const ids = ok(await admin("GET", "roles")).roles.map((role: { id: string }) => role.id);
      for (const id of ["admin", "editor", "operator", "reader", "viewer", "worker"])
        assert.ok(ids.includes(id), id);
      created(await admin("POST", "roles?roleId=unused", { scopes: ["bpmn:read"] }));
      done(await admin("DELETE", "roles/unused"));
    });

    test("a token can be exchanged for one that may less and lives shorter, never for more", async () => {
      const { accessToken } = await signIn((await person()).email);
      const less = ok(
        await as(accessToken)("POST", "auth:exchange", { scopes: ["bpmn:read"], lifetime: "60s" }),
      );
      ok(await as(less.accessToken)("GET", "bpmn"));
      refused(await as(less.accessToken)("POST", "bpmn", {}), 403, "SCOPE_MISSING");
      refused(
        await as(less.accessToken)("POST", "auth:exchange", { scopes: ["bpmn:write"] }),
        403,
        "SCOPE_EXCEEDED",
      );
      assert.equal(ok(await as(less.accessToken)("POST", "auth:exchange", {})).scopes.join(), "bpmn:read");
      refused(await as(accessToken)("POST", "auth:exchange", { lifetime: "601s" }), 400, "FIELD_INVALID");
      time.now += 61_000;
      refused(await as(less.accessToken)("GET", "bpmn"), 401, "CREDENTIAL_INVALID");
      ok(await as(accessToken)("GET", "bpmn"));
    });

    test("could they? says what is missing", async () => {
      const { id } = await person(["roles/viewer"]);
      const check = async (method: string, principal?: string) =>
        await admin("POST", "auth:checkAccess", {
          method: `portico.bpmn.v1.BPMNService/${method}`,
          ...(principal === undefined ? {} : { principal }),
        });
      assert.equal(ok(await check("GetBPMN", `users/${id}`)).allowed, true);
      const denied = ok(await check("CreateBPMN", `users/${id}`));
      assert.deepEqual([denied.allowed, denied.missingScopes], [false, ["bpmn:write"]]);
      assert.equal(ok(await check("CreateBPMN")).allowed, true);
      assert.equal(ok(await check("CreateBPMN", "users/nobody")).allowed, false);
      refused(await check("Nothing"), 404, "RESOURCE_NOT_FOUND");
    });

    test("what is done, refused and failed is audited, without secrets; strangers leave nothing", async () => {
      const { id, email } = await person(["roles/viewer"]);
      const tokens = await signIn(email);
      refused(await as(tokens.accessToken)("POST", `users/${id}:suspend`, {}), 403, "SCOPE_MISSING");
      refused(
        await admin("POST", `users?userId=${id}`, { email: "again@example.org" }),
        409,
        "RESOURCE_EXISTS",
      );
      refused(await nobody("POST", "auth:signIn", { email, password: second }), 401, "SIGN_IN_REFUSED");
      const strangers = await nobody("POST", "users", { email: "stranger@example.org" });
      assert.equal(strangers.status, 401);
      const { entries } = ok(await admin("GET", "auditEntries?pageSize=8"));
      const told = entries.map((entry: Record<string, unknown>) =>
        [String(entry.method).replace(/^.*\//, ""), entry.principal, entry.code, entry.reason].join(" "),
      );
      assert.deepEqual(told.slice(0, 5), [
        "SignIn  16 SIGN_IN_REFUSED",
        "CreateUser users/admin 6 RESOURCE_EXISTS",
        `SuspendUser users/${id} 7 SCOPE_MISSING`,
        `SignIn users/${id} 0 `,
        "BatchCreateUsers users/admin 0 ",
      ]);
      const all = JSON.stringify(ok(await admin("GET", "auditEntries?pageSize=1000")));
      for (const secret of [password, second, "stranger@example.org", tokens.refreshToken])
        assert.ok(!all.includes(secret), secret);
      assert.deepEqual(entries[2].resource, id);
      const filter = encodeURIComponent(`principal = "users/${id}" AND code != 0`);
      const own = ok(await admin("GET", `auditEntries?filter=${filter}`)).entries;
      assert.deepEqual(
        own.map((entry: { reason: string }) => entry.reason),
        ["SCOPE_MISSING"],
      );
    });

    test("the chain is whole, and shows what was changed, removed or cut off", async () => {
      const verify = async () => ok(await admin("POST", "auditEntries:verify", {}));
      const whole = await verify();
      assert.deepEqual([whole.intact, whole.firstBroken], [true, ""]);
      assert.ok(Number(whole.checked) > 20);
      const { db } = server.storage.tables<UsersTables>();
      const last = Number(whole.checked);
      const row = await db
        .selectFrom("users_audit")
        .selectAll()
        .where("number", "=", 5)
        .where("tenant", "=", "default")
        .executeTakeFirstOrThrow();
      const put = (principal: string) =>
        db
          .updateTable("users_audit")
          .set({ principal })
          .where("number", "=", 5)
          .where("tenant", "=", "default")
          .execute();
      await put("users/somebody-else");
      assert.deepEqual([(await verify()).intact, (await verify()).firstBroken], [false, "auditEntries/5"]);
      await put(row.principal);
      assert.equal((await verify()).intact, true);
      await db.deleteFrom("users_audit").where("number", "=", last).where("tenant", "=", "default").execute();
      assert.deepEqual(
        [(await verify()).intact, (await verify()).firstBroken],
        [false, `auditEntries/${last}`],
      );
      await db.deleteFrom("users_audit").where("number", "=", 7).where("tenant", "=", "default").execute();
      assert.equal((await verify()).firstBroken, "auditEntries/8");
    });

    test("a change whose audit cannot be written is not made", async () => {
      const { db } = server.storage.tables<UsersTables>();
      await db.schema.alterTable("users_audit").renameTo("users_audit_away").execute();
      try {
        const answer = await admin("POST", "users?userId=unaudited", { email: "unaudited@example.org" });
        assert.equal(answer.status, 500, answer.text);
        refused(await admin("GET", "users/unaudited"), 404, "RESOURCE_NOT_FOUND");
        assert.equal(
          (await admin("POST", "bpmn?documentId=unaudited", { xml: bpmnXml() })).status >= 400,
          true,
        );
        refused(await admin("GET", "bpmn/unaudited"), 404, "RESOURCE_NOT_FOUND");
      } finally {
        await db.schema.alterTable("users_audit_away").renameTo("users_audit").execute();
      }
    });

    test("a call with an idempotency key is done once, and answered again as it was", async () => {
      const withKey = (key: string, path: string, body: unknown) =>
        ask(server.base, "POST", `/api/v1/${path}`, {
          headers: { authorization: `Bearer ${server.adminKey}`, "idempotency-key": key },
          body,
        });
      const body = { kind: "SERVICE", displayName: "once" };
      const [first, ...others] = await Promise.all(
        Array.from({ length: 5 }, () => withKey("k1", "users", body)),
      );
      const made = created(first!);
      for (const other of others) assert.deepEqual(created(other), made, "five at once are one");
      const replayed = [first!, ...others].filter(
        (answer) => answer.headers.get("idempotent-replayed") === "true",
      );
      assert.equal(replayed.length, 4);
      const filter = encodeURIComponent('displayName = "once"');
      assert.equal(ok(await admin("GET", `users?filter=${filter}`)).users.length, 1);

      refused(await withKey("k1", "users", { ...body, displayName: "other" }), 422, "IDEMPOTENCY_KEY_REUSED");
      refused(await withKey("has spaces", "users", body), 400, "FIELD_INVALID", /128 printable/);
      created(await withKey("k2", "users?requestId=k2", body));
      refused(await withKey("k3", "users?requestId=k4", body), 400, "FIELD_INVALID", /differs/);
      const byField = created(await admin("POST", "users?requestId=k5", body));
      assert.deepEqual(created(await admin("POST", "users?requestId=k5", body)), byField);
    });

    test("final errors are kept, others are not; secrets are not; after a day the key is free", async () => {
      const withKey = (key: string, method: string, path: string, body: unknown) =>
        ask(server.base, method, `/api/v1/${path}`, {
          headers: { authorization: `Bearer ${server.adminKey}`, "idempotency-key": key },
          body,
        });
      const wrong = { displayName: "a person without an e-mail" };
      const first = await withKey("e1", "POST", "users", wrong);
      const again = await withKey("e1", "POST", "users", wrong);
      refused(again, 400, "FIELD_INVALID");
      assert.equal(again.headers.get("idempotent-replayed"), "true");
      const details = (answer: Answer) =>
        JSON.stringify(answer.json.details.filter((detail: object) => !("requestId" in detail)));
      assert.equal(details(again), details(first), "field violations and all");

      const { id } = await person();
      const stale = { displayName: "x", etag: "stale" };
      refused(await withKey("e2", "PATCH", `users/${id}`, stale), 409, "ETAG_MISMATCH");
      const retried = await withKey("e2", "PATCH", `users/${id}`, stale);
      assert.equal(retried.headers.get("idempotent-replayed"), null, "a conflict may be gone the next time");

      created(await withKey("e3", "POST", "apiKeys", { displayName: "secret" }));
      refused(
        await withKey("e3", "POST", "apiKeys", { displayName: "secret" }),
        409,
        "IDEMPOTENCY_ANSWER_LOST",
      );
      const stored = JSON.stringify(
        await server.storage
          .tables<{ policy_idempotency: object }>()
          .db.selectFrom("policy_idempotency")
          .selectAll()
          .execute(),
      );
      assert.ok(!stored.includes("ptk_"));

      const body = { kind: "SERVICE", displayName: "daily" };
      const day1 = created(await withKey("e4", "POST", "users", body));
      time.now += day + 1;
      assert.notEqual(created(await withKey("e4", "POST", "users", body)).id, day1.id);
    });

    test("an idempotency key is its caller's own", async () => {
      const clerk = await server.userWithKey(`clerk-${people}`, ["admin"]);
      const create = (credential: string) =>
        ask(server.base, "POST", "/api/v1/users", {
          headers: { authorization: `Bearer ${credential}`, "idempotency-key": "shared" },
          body: { kind: "SERVICE", displayName: "own" },
        });
      const [ours, theirs] = [created(await create(server.adminKey)), created(await create(clerk))];
      assert.notEqual(ours.id, theirs.id);
    });
  });
}
