/**
 * What the API reference does in the browser: filters its list of operations, and sends the requests that its forms describe to
 * the server it came from. The page is whole without it.
 */

/** More of an answer is not shown; it can be saved. */
const shownBytes = 200_000;
/**
 * What ends the request that a form waits for.
 * @type {WeakMap<HTMLFormElement, AbortController>}
 */
const running = new WeakMap();

const filter = /** @type {HTMLInputElement | null} */ (document.getElementById("filter"));
if (filter !== null) {
  filter.hidden = false;
  filter.addEventListener("input", () => filterEntries(filter.value));
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.matches("input, textarea, select");
    if (event.key !== "/" || typing) return;
    event.preventDefault();
    filter.focus();
  });
}
const credential = /** @type {HTMLInputElement | null} */ (document.getElementById("credential"));
credential?.closest("label")?.removeAttribute("hidden");
for (const details of document.querySelectorAll("details.try")) {
  details.removeAttribute("hidden");
  const form = /** @type {HTMLFormElement} */ (details.querySelector("form"));
  const output = /** @type {HTMLOutputElement} */ (details.querySelector("output"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const before = running.get(form);
    if (before === undefined) void send(form, output);
    else before.abort();
  });
}

/** @param {string} text */
function filterEntries(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of document.querySelectorAll(".index li")) {
    const content = `${item.textContent} ${item.querySelector("a")?.title}`.toLowerCase();
    item.toggleAttribute("hidden", !words.every((word) => content.includes(word)));
  }
}

/**
 * @param {HTMLFormElement} form
 * @param {HTMLOutputElement} output
 */
async function send(form, output) {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  const stop = new AbortController();
  running.set(form, stop);
  button.textContent = "Stop";
  output.replaceChildren();
  const start = performance.now();
  try {
    const { target, init } = request(form);
    const line = `${init.method} ${target}`;
    const response = await fetch(target, { ...init, signal: stop.signal });
    if (isStream(response)) {
      head(output, { line, status: `${response.status}, a stream`, response });
      await follow(output, response);
    } else {
      const bytes = new Uint8Array(await response.arrayBuffer());
      const time = Math.round(performance.now() - start);
      show(output, { line, status: `${response.status} in ${time} ms`, response, bytes });
    }
  } catch (error) {
    const failed = `The request could not be sent: ${error instanceof Error ? error.message : error}`;
    output.append(element("p", stop.signal.aborted ? "Stopped." : failed));
  } finally {
    stop.abort();
    running.delete(form);
    button.textContent = "Send";
  }
}

/** @param {Response} response */
function isStream({ headers, body }) {
  return (
    body !== null && /^(application\/x-ndjson|text\/event-stream)/.test(headers.get("content-type") ?? "")
  );
}

/**
 * Shows what comes when it comes; some streams have no end.
 * @param {HTMLOutputElement} output
 * @param {Response} response
 */
async function follow(output, { body }) {
  const shown = element("pre", "");
  output.append(shown);
  const decoder = new TextDecoder();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
  for (let size = 0; size < shownBytes; ) {
    const { done, value } = await reader.read();
    if (done) {
      output.append(element("p", "The stream is over."));
      return;
    }
    size += value.length;
    shown.append(decoder.decode(value, { stream: true }));
  }
  output.append(element("p", `Stopped: ${shownBytes} bytes are shown at most.`));
}

/**
 * @param {HTMLFormElement} form
 * @returns {{ target: string, init: RequestInit & { headers: Record<string, string> } }}
 */
function request(form) {
  const query = new URLSearchParams();
  /** @type {Record<string, string>} */
  const headers = {};
  let target = form.dataset.path ?? "";
  for (const field of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("[data-in]"))) {
    const { in: where, name = "" } = field.dataset;
    if (where === "path") target = target.replace(`{${name}}`, encodeURIComponent(field.value));
    else if (field.value === "") continue;
    else if (where === "query")
      for (const value of "many" in field.dataset ? field.value.split(",") : [field.value])
        query.append(name, value.trim());
    else headers[name] = field.value;
  }
  if (credential !== null && credential.value !== "")
    headers.authorization = `Bearer ${credential.value.trim()}`;
  const text = query.toString();
  if (text !== "") target += `?${text}`;
  const method = form.dataset.verb ?? "GET";
  const body = /** @type {HTMLInputElement | HTMLTextAreaElement | null} */ (
    form.querySelector("[data-type]")
  );
  if (body === null) return { target, init: { method, headers } };
  headers["content-type"] = body.dataset.type ?? "application/json";
  return { target, init: { method, headers, body: bodyOf(body) } };
}

/** @param {HTMLInputElement | HTMLTextAreaElement} field */
function bodyOf(field) {
  return field instanceof HTMLInputElement ? (field.files?.[0] ?? "") : field.value;
}

/**
 * @param {HTMLOutputElement} output
 * @param {{ line: string, status: string, response: Response, bytes: Uint8Array<ArrayBuffer> }} answer
 */
function show(output, { line, status, response, bytes }) {
  head(output, { line, status, response });
  if (bytes.length === 0) return;
  const shown = text(bytes.subarray(0, shownBytes), response.headers.get("content-type") ?? "");
  output.append(element("pre", shown ?? `${bytes.length} bytes that are not text`));
  if (shown === undefined || bytes.length > shownBytes) output.append(saveLink(bytes));
}

/**
 * @param {HTMLOutputElement} output
 * @param {{ line: string, status: string, response: Response }} answer
 */
function head(output, { line, status, response }) {
  const heading = element("p", "");
  heading.append(element("strong", status), ` ${line}`);
  const names = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const headers = document.createElement("details");
  headers.append(element("summary", "Headers"), element("pre", names));
  output.append(heading, headers);
}

/**
 * @param {Uint8Array} bytes
 * @param {string} type
 */
function text(bytes, type) {
  try {
    const decoded = new TextDecoder("utf-8", { fatal: bytes.length < shownBytes }).decode(bytes);
    return /^application\/(problem\+)?json/.test(type) && bytes.length < shownBytes
      ? JSON.stringify(JSON.parse(decoded), undefined, 2)
      : decoded;
  } catch {
    return undefined;
  }
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
function saveLink(bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes]));
  link.download = "answer";
  link.textContent = `Save all ${bytes.length} bytes`;
  return link;
}

/**
 * @param {string} name
 * @param {string} content
 */
function element(name, content) {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}
