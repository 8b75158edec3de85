/** Calls over WebSockets: 8 sockets with 16 calls each, as gRPC's load has connections and streams. */
import { WebSocket } from "ws";
import type { Load } from "./load.ts";
import { BPMNService, documentId, type GetBPMNRequestSchema } from "./message.ts";
import type { ServerProcess } from "./server-process.ts";

const sockets = 8;
const callsEach = 16;
const method = `${BPMNService.typeName}/${BPMNService.method.getBPMN.name}`;
const message = { id: documentId } satisfies { [name in keyof typeof GetBPMNRequestSchema.field]?: string };

export async function loadSocket(server: ServerProcess, seconds: number): Promise<Load> {
  const until = performance.now() + seconds * 1000;
  const each = await Promise.all(Array.from({ length: sockets }, () => loadOne(server.httpPort, until)));
  const answers = each.reduce((sum, one) => sum + one, 0);
  return { perSecond: answers / seconds, answers, p99Ms: undefined };
}

/** Right answers of one socket. */
async function loadOne(port: number, until: number): Promise<number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, ["portico.v1+json"], {
    perMessageDeflate: false,
  });
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  let sent = 0;
  let answered = 0;
  await new Promise<void>((resolve, reject) => {
    const send = (): void => {
      sent += 1;
      socket.send(JSON.stringify({ id: String(sent), call: { method }, message }));
    };
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the server closed the socket")));
    socket.on("message", (data: Buffer) => {
      if (!data.includes(`"${documentId}"`))
        reject(new Error(`a wrong answer: ${data.toString("utf8").slice(0, 200)}`));
      answered += 1;
      if (performance.now() < until) send();
      else if (answered === sent) resolve();
    });
    for (let call = 0; call < callsEach; call += 1) send();
  });
  socket.removeAllListeners("close");
  socket.terminate();
  return answered;
}
