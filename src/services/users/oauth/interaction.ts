/** What a person is asked between an application's request and its answer: who they are, and whether they allow it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { InteractionResults, Provider } from "oidc-provider";
import { RpcError } from "#rpc/error.ts";
import * as pages from "./pages.ts";
import type { OAuthParts } from "./parts.ts";
import { oursOf } from "./provider.ts";

type Details = Awaited<ReturnType<Provider["interactionDetails"]>>;

export interface Asked {
  readonly provider: Provider;
  readonly parts: OAuthParts;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The form that was sent; undefined: the page is asked for. */
  readonly form: URLSearchParams | undefined;
  readonly address: string;
}

/** Answers with a page, or with the way on. */
export async function interact(asked: Asked): Promise<void> {
  const { provider, request, response, form } = asked;
  const details = await provider.interactionDetails(request, response).catch(() => undefined);
  if (details === undefined) {
    html(
      response,
      400,
      pages.failure("session_not_found", "this sign-in is over, or began in another browser"),
    );
    return;
  }
  const step = form?.getAll("step").at(-1);
  if (step === "refuse") {
    const error = { error: "access_denied", error_description: "the person refused" };
    await provider.interactionFinished(request, response, error, { mergeWithLastSubmission: false });
  } else if (details.prompt.name === "login") await signIn(asked, details, step === "signIn");
  else await consent(asked, details, step === "allow");
}

async function signIn(asked: Asked, details: Details, sent: boolean): Promise<void> {
  const { provider, parts, request, response, form, address } = asked;
  const client = await provider.Client.find(String(details.params.client_id));
  const tenant = oursOf(client).portico_tenant;
  const about = {
    action: `/oauth2/interaction/${details.uid}`,
    application: client?.clientName ?? "the application",
    tenant,
    email: form?.get("email") ?? "",
  };
  if (!sent || form === undefined) {
    html(response, 200, pages.signIn(about));
    return;
  }
  try {
    const given = {
      tenant: tenant ?? form.get("tenant") ?? "",
      email: form.get("email") ?? "",
      password: form.get("password") ?? "",
    };
    const user = await parts.signIn(given, { address, client: client?.clientId ?? "" });
    const login: InteractionResults = { login: { accountId: user.uid, remember: true, amr: ["pwd"] } };
    await provider.interactionFinished(request, response, login, { mergeWithLastSubmission: false });
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    const status = error.code === "resource_exhausted" ? 429 : 401;
    html(response, status, pages.signIn({ ...about, error: error.message }));
  }
}

async function consent(asked: Asked, details: Details, allowed: boolean): Promise<void> {
  const { provider, parts, request, response } = asked;
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = details.prompt.details as {
    readonly missingOIDCScope?: readonly string[];
    readonly missingOIDCClaims?: readonly string[];
    readonly missingResourceScopes?: Readonly<Record<string, readonly string[]>>;
  };
  const accountId = details.session?.accountId ?? "";
  const clientId = String(details.params.client_id);
  if (!allowed) {
    const client = await provider.Client.find(clientId);
    const user = await parts.findUser(accountId);
    const page = pages.consent({
      action: `/oauth2/interaction/${details.uid}`,
      application: client?.clientName ?? clientId,
      user: user === undefined ? "nobody" : `${user.displayName} (${user.tenant})`,
      scopes: [...(missingOIDCScope ?? []), ...Object.values(missingResourceScopes ?? {}).flat()],
    });
    html(response, 200, page);
    return;
  }
  const known = details.grantId === undefined ? undefined : await provider.Grant.find(details.grantId);
  const grant = known ?? new provider.Grant({ accountId, clientId });
  if (missingOIDCScope !== undefined) grant.addOIDCScope(missingOIDCScope.join(" "));
  if (missingOIDCClaims !== undefined) grant.addOIDCClaims([...missingOIDCClaims]);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {}))
    grant.addResourceScope(resource, scopes.join(" "));
  const result: InteractionResults = { consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

function html(response: ServerResponse, status: number, page: string): void {
  response.writeHead(status, { "content-type": "text/html; charset=utf-8" });
  response.end(page);
}
