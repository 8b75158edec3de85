/** The API reference as people use it, in a real browser: it is read, filtered, and sends requests that do something. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { launchBrowser, noBrowser } from "./browser.ts";

describe("the API reference in Chromium", { skip: noBrowser }, () => {
  let portico: TestPortico;
  let browser: Browser;
  let page: Page;
  const requests: string[] = [];
  const complaints: string[] = [];

  before(async () => {
    portico = await startPortico({ authentication: "on" });
    browser = await launchBrowser();
    page = await open({ width: 1200, height: 900 });
  });
  after(async () => {
    await browser?.close();
    await portico?.stop();
  });

  async function open(viewport: { width: number; height: number }, path = "/docs"): Promise<Page> {
    const opened = await browser.newPage({ viewport });
    opened.on("request", (request) => requests.push(request.url()));
    opened.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
    });
    opened.on("pageerror", (error) => complaints.push(error.message));
    await opened.goto(portico.base + path);
    return opened;
  }

  const article = (id: string) => page.locator(`[id="BPMNService_${id}"]`);
  const answerOf = async (id: string, status: RegExp): Promise<string> => {
    await article(id).locator("output strong", { hasText: status }).waitFor();
    return (await article(id).locator("output > pre").last().textContent()) ?? "";
  };
  const openForm = async (id: string): Promise<void> => {
    await article(id).locator("summary", { hasText: "Try it" }).click();
  };

  test("without a credential a request is refused, and with one it is not", async () => {
    await openForm("CreateBPMN");
    await article("CreateBPMN").locator("button").click();
    assert.match(await answerOf("CreateBPMN", /^401/), /CREDENTIAL_MISSING/);
    await page.locator("#credential").fill(portico.key);
  });

  test("creates a document, reads it and shows what is refused", async () => {
    await article("CreateBPMN").locator("[data-name=documentId]").fill("from-the-page");
    await article("CreateBPMN").locator("button").click();
    const created = JSON.parse(await answerOf("CreateBPMN", /^201/));
    assert.equal(created.name, "bpmn/from-the-page");

    await openForm("GetBPMN");
    await article("GetBPMN").locator("[data-name=id]").fill("from-the-page");
    await article("GetBPMN").locator("[data-name=view]").selectOption("FULL");
    await article("GetBPMN").locator("button").click();
    assert.equal(JSON.parse(await answerOf("GetBPMN", /^200/)).xml, created.xml);

    await article("CreateBPMN").locator("button").click();
    const refused = JSON.parse(await answerOf("CreateBPMN", /^409/));
    assert.equal(refused.details[0].reason, "RESOURCE_EXISTS");
  });

  test("sends lists and header parameters as the contract wants them", async () => {
    const second = article("CreateBPMN").locator("[data-name=documentId]");
    await second.fill("second-of-the-page");
    await article("CreateBPMN").locator("button").click();
    await answerOf("CreateBPMN", /^201/);
    await openForm("BatchGetBPMN");
    await article("BatchGetBPMN").locator("[data-name=ids]").fill("from-the-page, second-of-the-page");
    await article("BatchGetBPMN").locator("button").click();
    assert.equal(JSON.parse(await answerOf("BatchGetBPMN", /^200/)).documents.length, 2);
    await openForm("DeleteBPMN");
    await article("DeleteBPMN").locator("[data-name=id]").fill("from-the-page");
    await article("DeleteBPMN").locator("[data-name=If-Match]").fill('"old"');
    await article("DeleteBPMN").locator("button").click();
    assert.match(await answerOf("DeleteBPMN", /^412/), /ETAG_/);
  });

  test("uploads a file and shows the one that is downloaded", async () => {
    const xml = bpmnXml("uploaded");
    await openForm("UploadBPMN");
    await article("UploadBPMN")
      .locator("input[type=file]")
      .setInputFiles({ name: "a.bpmn", mimeType: "application/xml", buffer: Buffer.from(xml) });
    await article("UploadBPMN").locator("button").click();
    const { id } = JSON.parse(await answerOf("UploadBPMN", /^200/));
    await openForm("DownloadBPMN");
    await article("DownloadBPMN").locator("[data-name=id]").fill(id);
    await article("DownloadBPMN").locator("button").click();
    assert.equal(await answerOf("DownloadBPMN", /^200/), xml);
  });

  test("shows a stream as it comes, by the example that the contract has, and stops it", async () => {
    const stream = page.locator('[id="EventService_Subscribe"]');
    await stream.locator("summary", { hasText: "From a shell" }).click();
    const curl = stream.locator("details", { hasText: "From a shell" }).locator("pre").last();
    assert.match((await curl.textContent()) ?? "", /\?topics=bpmn%2F\*'/);
    await stream.locator("summary", { hasText: "Try it" }).click();
    assert.equal(await stream.locator("[data-name=topics]").inputValue(), "bpmn/*");
    await stream.locator("[data-name=after]").fill("0");
    await stream.locator("button").click();
    await stream.locator("output > pre", { hasText: "bpmn/from-the-page" }).waitFor();
    await stream.locator("button", { hasText: "Stop" }).click();
    await stream.locator("output", { hasText: "Stopped." }).waitFor();
    assert.equal(await stream.locator("button").textContent(), "Send");
    assert.equal(await stream.locator("dl.answers code", { hasText: /^end$/ }).count(), 1);
  });

  test("the filter keeps what matches, and / goes to it", async () => {
    await page.keyboard.press("Escape");
    await page.locator("h1").click();
    await page.keyboard.press("/");
    await page.keyboard.type("revis get");
    const shown = await page.locator(".index li:not([hidden])").allInnerTexts();
    assert.deepEqual(
      shown.map((text) => text.replace(/\s+/g, " ")),
      ["GET GetBPMNRevision", "GET ListBPMNRevisions"],
    );
  });

  test("every link inside leads somewhere", async () => {
    const lost = await page.evaluate(`[...document.querySelectorAll('a[href^="#"]')]
      .map((link) => link.getAttribute("href").slice(1)).filter((id) => document.getElementById(id) === null)`);
    assert.deepEqual(lost, []);
  });

  test("an error's type leads to its explanation", async () => {
    const errors = await open({ width: 1200, height: 900 }, "/docs/errors#ETAG_MISMATCH");
    assert.match(await errors.locator("tr:target").innerText(), /ETAG_MISMATCH/);
  });

  for (const path of ["/docs", "/docs/errors"])
    test(`${path} fits a narrow screen`, async () => {
      const narrow = await open({ width: 360, height: 700 }, path);
      assert.equal(await narrow.evaluate("document.documentElement.scrollWidth"), 360);
    });

  test("on a narrow screen no reason is cut in two, and the credential has the room that there is", async () => {
    const errors = await open({ width: 360, height: 740 }, "/docs/errors");
    const lines = await errors
      .locator(".reasons code")
      .evaluateAll((all) => all.map((one) => [...one.getClientRects()].length));
    assert.ok(lines.length > 50 && lines.every((count) => count === 1), lines.join(" "));
    const docs = await open({ width: 360, height: 740 });
    const box = await docs.locator("#credential").boundingBox();
    assert.ok(box !== null && box.width > 300, JSON.stringify(box));
    for (const opened of [errors, docs]) await opened.close();
  });

  test("nothing was asked of another origin, and the browser had nothing to complain of but the refusals", () => {
    assert.deepEqual(
      requests.filter((url) => !url.startsWith(portico.base)),
      [],
    );
    assert.deepEqual(
      complaints.filter((text) => !/status of 4(01|09|12)/.test(text)),
      [],
    );
  });
});
