/** Streams as a browser's own EventSource takes them: it stops where the stream has ended, and comes again where it was cut. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { launchBrowser, noBrowser } from "./browser.ts";

interface Taken {
  readonly messages: readonly string[];
  readonly last: { readonly type: string; readonly data: string };
  /** 2: closed. */
  readonly readyState: number;
}

describe("an EventSource in Chromium", { skip: noBrowser }, () => {
  let echo: EchoServer;
  let browser: Browser;
  let page: Page;
  /** Of each request: the last id that it names. Told apart from its place here, because a browser tells its headers later. */
  const asked: Promise<string | undefined>[] = [];
  before(async () => {
    echo = await startEcho();
    browser = await launchBrowser();
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${echo.httpPort}/docs`);
    page.on("request", (request) => {
      if (!request.url().includes("/v1/stream")) return;
      asked.push(request.allHeaders().then((headers) => headers["last-event-id"]));
    });
  });
  after(async () => {
    await browser?.close();
    await echo?.close();
  });

  /** Until it is closed by itself, with what the stream said. */
  const follow = async (plan: object): Promise<Taken> => {
    asked.length = 0;
    await page.setExtraHTTPHeaders({ "echo-plan": JSON.stringify(plan) });
    return await page.evaluate(
      () =>
        new Promise<Taken>((resolve) => {
          const messages: string[] = [];
          let last = { type: "", data: "" };
          const source = new EventSource("/v1/stream?text=a");
          source.onmessage = ({ data }) => messages.push(data);
          for (const type of ["end", "error"])
            source.addEventListener(type, (event) => {
              if (event instanceof MessageEvent) last = { type, data: String(event.data) };
              if (source.readyState === EventSource.CLOSED)
                resolve({ messages, last, readyState: source.readyState });
            });
        }),
    );
  };

  test("stops by itself behind a stream that ended well", { timeout: 20_000 }, async () => {
    const { messages, last, readyState } = await follow({ count: 2 });
    assert.deepEqual(
      messages.map((one) => JSON.parse(one).text),
      ["a", "a"],
    );
    assert.deepEqual([last, readyState], [{ type: "end", data: "{}" }, 2]);
    assert.deepEqual(await Promise.all(asked), [undefined, "end"]);
  });

  test("stops by itself behind one that failed late, and hears why", { timeout: 20_000 }, async () => {
    const { messages, last, readyState } = await follow({ code: "data_loss", reason: "LOST", after: 1 });
    assert.equal(messages.length, 1);
    assert.equal(last.type, "error");
    assert.deepEqual([JSON.parse(last.data).code, readyState], [15, 2]);
    assert.deepEqual(await Promise.all(asked), [undefined, "end"]);
  });

  test("does not come again where the answer is no stream at all", { timeout: 20_000 }, async () => {
    const { messages, readyState } = await follow({ code: "not_found" });
    assert.deepEqual([messages, readyState], [[], 2]);
    assert.deepEqual(await Promise.all(asked), [undefined]);
  });
});
