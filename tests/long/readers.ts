/** Readers of events over SSE and WebSocket that come again, as a browser's EventSource and `portico/client` do, and note what they were told and how long they were away. */
import http from "node:http";
import { type Client, connect } from "#client/client.ts";

/** What a reader has seen, and since when it has had no stream. */
export class Reader {
  readonly seen = new Set<string>();
  twice = 0;
  longestAwayMs = 0;
  /** How often it was told to go: by SSE's last event, by a notice or close code 1012 on a WebSocket. */
  told = 0;
  /** Streams that ended without a word. */
  readonly cut: string[] = [];
  #away: number | undefined;

  take(subject: string): void {
    if (this.seen.has(subject)) this.twice += 1;
    this.seen.add(subject);
  }
  /** @param told in this stream. */
  gone(told: boolean, how: string): void {
    if (told) this.told += 1;
    else this.cut.push(how);
    this.#away ??= performance.now();
  }
  back(): void {
    if (this.#away === undefined) return;
    this.longestAwayMs = Math.max(this.longestAwayMs, performance.now() - this.#away);
    this.#away = undefined;
  }
  get isAway(): boolean {
    return this.#away !== undefined;
  }
}

/** As a browser's EventSource: comes again with what it saw last. */
export function readEvents(base: string, reader: Reader, isOver: () => boolean): void {
  let last = "";
  const open = (): void => {
    if (isOver()) return;
    const again = (): void => void setTimeout(open, 100 + Math.random() * 400).unref();
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last !== "") headers["last-event-id"] = last;
    const target = `${base}/api/v1/events:subscribe?topics=bpmn/*`;
    http
      .get(target, { agent: false, headers }, (response) => {
        if (response.statusCode !== 200) {
          response.resume();
          again();
          return;
        }
        reader.back();
        let told = false;
        let text = "";
        response
          .setEncoding("utf8")
          .on("data", (chunk: string) => {
            text += chunk;
            const blocks = text.split("\n\n");
            text = blocks.pop() ?? "";
            for (const block of blocks) {
              last = /^id: ?(.+)$/m.exec(block)?.[1] ?? last;
              if (/^event: ?(error|end)$/m.test(block)) told = true;
              const data = /^data: ?(\{.*"subject":.*\})$/m.exec(block)?.[1];
              if (data !== undefined) reader.take((JSON.parse(data) as { subject: string }).subject);
            }
          })
          .once("close", () => {
            if (isOver()) return;
            reader.gone(told, `SSE, after ${JSON.stringify(text.slice(-80))}`);
            again();
          })
          .once("error", () => undefined);
      })
      // A connection in the queue of a listener that closed: whoever waits goes on waiting.
      .once("error", again);
  };
  open();
}

interface Frame {
  readonly ready?: object;
  readonly notice?: { readonly kind: string };
  readonly end?: object;
}

/** By `portico/client`, with a look at its sockets. @returns to be closed. */
export function followEvents(base: string, reader: Reader, isOver: () => boolean): Client {
  const client = connect(base, {
    webSocket: (url, protocol) => watched(new WebSocket(url, protocol), reader, isOver),
  });
  void (async () => {
    const method = "portico.events.v1.EventService/Subscribe";
    for await (const event of client.follow<{ subject: string }>(method, { topics: ["bpmn/*"] }))
      reader.take(event.subject);
  })().catch((error: unknown) => {
    if (!isOver()) reader.cut.push(`the stream failed: ${error}`);
  });
  return client;
}

/** One socket, on which one stream runs: it is away from that stream's end, or the socket's, until another socket is ready. */
function watched(socket: WebSocket, reader: Reader, isOver: () => boolean): WebSocket {
  let isReady = false;
  let told = false;
  const gone = (how: string): void => {
    if (isReady && !isOver()) reader.gone(told, how);
    isReady = false;
  };
  socket.addEventListener("message", ({ data }) => {
    const frame = JSON.parse(String(data)) as Frame;
    if (frame.ready !== undefined) {
      isReady = true;
      reader.back();
    }
    if (frame.notice?.kind === "draining") told = true;
    if (frame.end !== undefined) gone(`WebSocket, the stream ended with ${JSON.stringify(frame.end)}`);
  });
  socket.addEventListener("close", ({ code }) => {
    if (code === 1012) told = true;
    gone(`WebSocket, closed with ${code}`);
  });
  return socket;
}
