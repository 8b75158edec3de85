/** The client in a page of a listed origin: every file of it as it is, types taken off, no bundler. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { launchBrowser, noBrowser } from "./browser.ts";

const source = path.resolve(import.meta.dirname, "../../src/client");

function servePages(): Promise<Server> {
  const server = createServer((request, response) => {
    const name = path.basename(request.url ?? "");
    if (!/^[a-z-]+\.ts$/.test(name)) {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html><title>page</title>");
      return;
    }
    response.setHeader("content-type", "text/javascript");
    response.end(stripTypeScriptTypes(readFileSync(path.join(source, name), "utf8")));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

describe("the client in a browser", { skip: noBrowser }, () => {
  let pages: Server;
  let portico: TestPortico;
  let browser: Browser;
  let page: Page;
  before(async () => {
    pages = await servePages();
    const origin = `http://127.0.0.1:${(pages.address() as { port: number }).port}`;
    portico = await startPortico({ corsOrigins: origin, authentication: "on" });
    browser = await launchBrowser();
    page = await browser.newPage();
    await page.goto(origin);
  });
  after(async () => {
    await browser?.close();
    pages?.close();
    await portico?.stop();
  });

  test("calls, and follows what happens", async () => {
    const following = page.evaluate(
      async ({ base, key }) => {
        const module = "/client.ts";
        const { connect } = (await import(module)) as typeof import("../../src/client/client.ts");
        const client = connect(base, { token: key });
        const list = await client.unary<{ documents?: unknown[] }>(
          "portico.bpmn.v1.BPMNService/ListBPMN",
          {},
        );
        const events = client.follow<{ subject: string; type: string }>(
          "portico.events.v1.EventService/Subscribe",
          { topics: ["bpmn/*"], after: "0" },
        );
        const { value } = await events.next();
        const failed = await client.unary("portico.bpmn.v1.BPMNService/GetBPMN", { id: "none" }).then(
          () => undefined,
          (error: { code: string; reason: string }) => [error.code, error.reason],
        );
        client.close();
        return { listed: list.documents?.length ?? 0, subject: value?.subject, failed };
      },
      { base: portico.base, key: portico.key },
    );
    const created = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=seen", {
      headers: { "x-api-key": portico.key },
      body: { xml: bpmnXml() },
    });
    assert.ok(created.status < 300, created.text);
    const { subject, failed } = await following;
    assert.equal(subject, "bpmn/seen");
    assert.deepEqual(failed, ["not_found", "RESOURCE_NOT_FOUND"]);
  });
});
