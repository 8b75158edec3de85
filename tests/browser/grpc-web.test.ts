/** gRPC-Web from a page of a listed origin: by its own client, and by Connect's, bundled as a web application would be. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { launchBrowser, noBrowser } from "./browser.ts";
import type { Seen } from "./grpc-web-page.ts";

async function servePage(): Promise<Server> {
  const { outputFiles } = await build({
    entryPoints: [path.join(import.meta.dirname, "grpc-web-page.ts")],
    ...{ bundle: true, write: false, format: "esm", platform: "browser", target: "es2022" },
  });
  const server = createServer((request, response) => {
    const script = request.url === "/page.js";
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(script ? outputFiles[0]?.text : "<!doctype html><title>page</title>");
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

const originOf = (server: Server): string =>
  `http://127.0.0.1:${(server.address() as { port: number }).port}`;

describe("gRPC-Web in a browser", { skip: noBrowser }, () => {
  let listed: Server;
  let foreign: Server;
  let portico: TestPortico;
  let browser: Browser;
  let page: Page;
  before(async () => {
    [listed, foreign] = await Promise.all([servePage(), servePage()]);
    portico = await startPortico({ corsOrigins: originOf(listed), authentication: "on" });
    const created = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=seen", {
      headers: { "x-api-key": portico.key },
      body: { xml: bpmnXml() },
    });
    assert.ok(created.status < 300, created.text);
    browser = await launchBrowser();
    page = await browser.newPage();
    await page.goto(originOf(listed));
  });
  after(async () => {
    await browser?.close();
    listed?.close();
    foreign?.close();
    await portico?.stop();
  });

  const sees: Seen = {
    listed: 1,
    subject: "bpmn/seen",
    failed: { code: 5, message: "there is no bpmn/none", reason: "RESOURCE_NOT_FOUND" },
  };
  /** In the page: grpc-web as text or binary, or connect-web. */
  const seenBy = (where: Page, client: "text" | "binary" | "connect-web"): Promise<Seen> =>
    where.evaluate(
      async ({ base, key, client }) => {
        const script = "/page.js";
        const module = (await import(script)) as typeof import("./grpc-web-page.ts");
        return client === "connect-web"
          ? await module.throughConnectWeb(base, key)
          : await module.throughGrpcWeb(base, key, client);
      },
      { base: portico.base, key: portico.key, client },
    );

  for (const client of ["text", "binary", "connect-web"] as const)
    test(`${client}: one answer, a stream, and an error with its details`, async () => {
      assert.deepEqual(await seenBy(page, client), client === "binary" ? { ...sees, subject: "" } : sees);
    });

  test("a page of another origin gets nothing", async () => {
    const other = await browser.newPage();
    await other.goto(originOf(foreign));
    for (const client of ["text", "binary", "connect-web"] as const)
      await assert.rejects(
        seenBy(other, client),
        /Failed to fetch|status code: 0|Http response at 400 or 500/,
      );
  });
});
