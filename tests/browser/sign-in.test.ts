/** A person in a real browser: the example application, the sign-in page, the consent, and back. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { ask, startPortico, type TestPortico } from "../support/portico.ts";
import { launchBrowser, noBrowser } from "./browser.ts";

const password = "correct horse battery staple";

describe("signing in with a browser", { skip: noBrowser }, () => {
  let portico: TestPortico;
  let app: ChildProcess;
  let home: string;
  let browser: Browser;

  before(async () => {
    portico = await startPortico({ authentication: "on" });
    const made = await ask(portico.base, "POST", "/portico.users.v1.UserService/CreateUser", {
      headers: { "x-api-key": portico.key },
      body: {
        ...{ userId: "ana", password },
        user: { email: "ana@example.org", displayName: "Ana Pereira", roles: ["roles/viewer"] },
      },
    });
    assert.equal(made.status, 200, made.text);
    const script = path.resolve(import.meta.dirname, "../../examples/02-sign-in-with-a-browser/app.ts");
    app = spawn(process.execPath, [script, portico.url, "0"], {
      env: { ...process.env, PORTICO_API_KEY: portico.key },
      stdio: ["ignore", "pipe", "inherit"],
    });
    home = await new Promise<string>((resolve, reject) => {
      app.once("exit", (code) => reject(new Error(`the example ended with ${code}`)));
      createInterface({ input: app.stdout! }).on("line", (line) => {
        const url = /^open (\S+)$/.exec(line)?.[1];
        if (url !== undefined) resolve(url);
      });
    });
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    app?.kill("SIGKILL");
    await portico?.stop();
  });

  test("a wrong password, the right one, a consent, and the application knows who it is", async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" && !/401/.test(message.text())) complaints.push(message.text());
    });
    await page.goto(home);
    assert.equal(await page.title(), "Sign in - Portico");
    assert.match((await page.textContent("main")) ?? "", /to continue to Model desk/);
    await page.getByLabel("E-mail").fill("ana@example.org");
    await page.getByLabel("Password").fill("not the right one");
    await page.getByRole("button", { name: "Sign in" }).click();
    assert.match((await page.textContent("[role=alert]")) ?? "", /not right/);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    assert.equal(await page.title(), "Allow Model desk? - Portico");
    assert.match((await page.textContent("main")) ?? "", /Ana Pereira.*use your right bpmn:read/s);
    await page.getByRole("button", { name: "Allow" }).click();
    await page.waitForURL(`${home}/**`);
    assert.match((await page.textContent("body")) ?? "", /You are users\/ana; the models answer 200/);
    assert.deepEqual(complaints, []);
  });

  test("refusing goes back to the application with the refusal; the page fits a phone", async () => {
    const page = await browser.newPage({ viewport: { width: 360, height: 640 } });
    await page.goto(home);
    await page.getByLabel("E-mail").fill("ana@example.org");
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360);
    if (process.env.PORTICO_SCREENSHOTS !== undefined)
      await page.screenshot({ path: path.join(process.env.PORTICO_SCREENSHOTS, "sign-in.png") });
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.waitForURL(`${home}/**`);
    assert.match(page.url(), /error=access_denied/);
  });
});
