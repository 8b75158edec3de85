/** The pages that people see when they sign in to let an application act for them: plain HTML, no script. */
import { createHash } from "node:crypto";
import { Html, html, type Part } from "#std/html.ts";

/** What a form has to send back unseen. */
export interface HiddenFields {
  readonly action: string;
  readonly fields: readonly (readonly [string, string])[];
}

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{margin:0;min-height:100vh;display:grid;place-items:center;color:light-dark(#1a1d21,#e4e6ea);background:light-dark(#f5f6f8,#14171b)}
main{box-sizing:border-box;width:min(24rem,100vw);padding:2rem;border:1px solid light-dark(#dfe3e8,#303741);border-radius:8px;background:light-dark(#fff,#1d2127)}
h1{margin:0 0 1rem;font-size:1.3rem}
form{display:grid;gap:.75rem}
label{display:grid;gap:.25rem}
input{font:inherit;padding:.5rem;border:1px solid light-dark(#8a929c,#69727d);border-radius:4px;background:transparent;color:inherit}
button{font:inherit;padding:.6rem;border:1px solid light-dark(#0b5cad,#7db8f5);border-radius:4px;background:light-dark(#0b5cad,#7db8f5);color:light-dark(#fff,#14171b);cursor:pointer}
button.second{background:transparent;color:inherit}
.error{padding:.5rem;border-left:3px solid light-dark(#b3261e,#f2b8b5)}
code{font-size:1.2em;letter-spacing:.1em}
ul{padding-left:1.25rem}`;

const styleHash = createHash("sha256").update(style).digest("base64");

/**
 * Nothing but this style, and no frame around it. Forms are not restricted: what follows a consent is a redirect to the
 * application, which browsers count as the form's.
 */
export const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`;

function page(title: string, ...body: readonly Part[]): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} - Portico</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`.text;
}

function hidden(form: HiddenFields): Html {
  const fields = form.fields.map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  );
  return html`${fields}`;
}

function problem(text: string | undefined): Part {
  return text === undefined ? undefined : html`<p class="error" role="alert">${text}</p>`;
}

export function signIn(about: {
  readonly action: string;
  readonly application: string;
  /** Undefined: the person says which. */
  readonly tenant: string | undefined;
  readonly email: string;
  readonly error?: string | undefined;
}): string {
  const tenant =
    about.tenant === undefined
      ? html`<label>Tenant<input name="tenant" value="default" autocomplete="organization" required></label>`
      : undefined;
  return page(
    "Sign in",
    html`<p>to continue to <strong>${about.application}</strong></p>`,
    problem(about.error),
    html`<form method="post" action="${about.action}">
<input type="hidden" name="step" value="signIn">
${tenant}
<label>E-mail<input name="email" type="email" value="${about.email}" autocomplete="username" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
<button class="second" name="step" value="refuse" formnovalidate>Cancel</button>
</form>`,
  );
}

export function consent(about: {
  readonly action: string;
  readonly application: string;
  readonly user: string;
  readonly scopes: readonly string[];
}): string {
  return page(
    `Allow ${about.application}?`,
    html`<p>You are <strong>${about.user}</strong>. <strong>${about.application}</strong> asks to:</p>
<ul>${about.scopes.map((scope) => html`<li>${meaningOf(scope)}</li>`)}</ul>
<p>It can never do more than you can. You can end this at any time among your sessions.</p>
<form method="post" action="${about.action}">
<button name="step" value="allow">Allow</button>
<button class="second" name="step" value="refuse">Refuse</button>
</form>`,
  );
}

const meanings: Readonly<Record<string, string>> = {
  "*": "do everything that you may do",
  openid: "know who you are",
  profile: "see your name",
  email: "see your e-mail address",
  offline_access: "go on while you are away, until you end it",
};

function meaningOf(scope: string): string {
  return meanings[scope] ?? `use your right ${scope}`;
}

export function deviceCode(form: HiddenFields, code: string, wrong: boolean): string {
  return page(
    "Connect a device",
    problem(wrong ? "This code is not known, or is over. Look again at your device." : undefined),
    html`<form method="post" action="${form.action}">${hidden(form)}
<label>Code on your device<input name="user_code" value="${code}" autocomplete="off" required autofocus></label>
<button>Continue</button>
</form>`,
  );
}

export function deviceConfirm(form: HiddenFields, application: string, code: string): string {
  return page(
    "Is this your device?",
    html`<p><strong>${application}</strong> should show this code:</p>
<p><code>${code}</code></p>
<p>Go on only if you started this yourself and the codes are the same.</p>
<form method="post" action="${form.action}">${hidden(form)}
<button>It is mine</button>
<button class="second" name="abort" value="yes">It is not</button>
</form>`,
  );
}

export function deviceDone(application: string): string {
  return page("Done", html`<p><strong>${application}</strong> is connected. You can close this page.</p>`);
}

export function signOut(form: HiddenFields): string {
  return page(
    "Sign out?",
    html`<form method="post" action="${form.action}">${hidden(form)}
<button name="logout" value="yes">Sign out</button>
</form>`,
  );
}

export function signedOut(): string {
  return page("Signed out", html`<p>You can close this page.</p>`);
}

export function failure(code: string, description: string | undefined): string {
  return page(
    "This did not work",
    html`<p class="error" role="alert">${description ?? code}</p>
<p>${code}. Go back to the application and start again.</p>`,
  );
}
