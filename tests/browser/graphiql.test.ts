/** GraphiQL as people use it, in a real browser: it comes from this process alone, under a strict policy, and sends what is typed. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { launchBrowser, noBrowser } from "./browser.ts";

describe("GraphiQL in Chromium", { skip: noBrowser }, () => {
  let portico: TestPortico;
  let browser: Browser;
  let page: Page;
  const requests: string[] = [];
  const complaints: string[] = [];

  before(async () => {
    portico = await startPortico({ authentication: "on" });
    await ask(portico.base, "POST", "/api/v1/bpmn?documentId=shown", {
      headers: { "x-api-key": portico.key },
      body: { xml: bpmnXml(), displayName: "Shown" },
    });
    browser = await launchBrowser();
    page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    page.on("request", (request) => requests.push(request.url()));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(`${portico.base}/graphql`);
    await page.locator(".graphiql-query-editor").waitFor();
  });
  after(async () => {
    await browser?.close();
    await portico?.stop();
  });

  /** Editors are no inputs: what is typed replaces all. */
  const type = async (editor: string, text: string): Promise<void> => {
    await page.locator(`${editor} .CodeMirror:visible`).first().click();
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Delete");
    await page.keyboard.insertText(text);
  };
  const run = (): Promise<void> => page.locator(".graphiql-execute-button").click();
  const answered = (text: string | RegExp): Promise<void> =>
    page.locator(".result-window", { hasText: text }).waitFor();

  test("a query with a credential answers, one without is told so", async () => {
    await type(".graphiql-query-editor", '{ getBPMN(id: "shown") { displayName } }');
    await run();
    await answered("CREDENTIAL_MISSING");
    await type(".graphiql-editor-tool", JSON.stringify({ "x-api-key": portico.key }));
    await run();
    await answered('"displayName": "Shown"');
  });

  test("a subscription shows events as they come, until it is stopped", async () => {
    await type(
      ".graphiql-query-editor",
      'subscription { subscribe(topics: ["bpmn/*"], after: "0") { subject } }',
    );
    await run();
    await answered('"subject": "bpmn/shown"');
    await ask(portico.base, "POST", "/api/v1/bpmn?documentId=later", {
      headers: { "x-api-key": portico.key },
      body: { xml: bpmnXml() },
    });
    await answered('"subject": "bpmn/later"');
    const left = page.waitForEvent("requestfailed");
    await run();
    assert.match((await left).failure()?.errorText ?? "", /ABORTED/);
  });

  test("on a narrow screen the answer is below the question", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const answer = await page.locator(".graphiql-response").boundingBox();
    const question = await page.locator(".graphiql-editors").boundingBox();
    await page.setViewportSize({ width: 1200, height: 900 });
    assert.ok(answer !== null && question !== null);
    assert.ok(answer.width > 200 && answer.height > 100, JSON.stringify(answer));
    assert.ok(answer.x + answer.width <= 360 && answer.y >= question.y + question.height);
  });

  test("the contract's comments are the documentation", async () => {
    await page.locator('button[aria-label="Show Documentation Explorer"]').click();
    await page.locator(".graphiql-doc-explorer a", { hasText: "Query" }).first().click();
    await page.locator(".graphiql-doc-explorer", { hasText: "getBPMN" }).waitFor();
  });

  test("its dialogs open", async () => {
    await page.locator('button[aria-label="Open settings dialog"]').click();
    await page.locator(".graphiql-dialog").waitFor();
    await page.keyboard.press("Escape");
  });

  test("nothing came from elsewhere, and the policy stopped nothing", () => {
    assert.ok(requests.every((url) => url.startsWith(portico.base) || url.startsWith("data:")));
    const other = complaints.filter((text) => !/status of 401/.test(text));
    assert.deepEqual(other, []);
  });
});
