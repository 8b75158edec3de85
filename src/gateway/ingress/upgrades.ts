/** Requests to become a WebSocket: judged like every other, then out of HTTP's hands. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { httpStatusOf } from "#rpc/code.ts";
import { RpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";
import { traceHeadersOf } from "#rpc/refusal.ts";
import { dropClaims, type Proxies, peerOf } from "./client-headers.ts";
import { swallow } from "./connections.ts";
import type { Cors } from "./cors.ts";
import type { ListenerLimits } from "./limits.ts";
import { toOriginForm } from "./origin-form.ts";
import { joinCredentials, type Refusal, refuseHttp1 } from "./precheck.ts";
import { refuseSocket } from "./refusals.ts";
import type { Serving } from "./requests.ts";
import type { StalledSockets } from "./stalled.ts";
import { certificatesOf } from "./tls.ts";
import type { Upgrade } from "./websocket/websocket.ts";

export interface UpgradeOptions extends Serving {
  readonly limits: ListenerLimits;
  readonly cors: Cors;
  readonly proxies: Proxies;
  readonly stalled: StalledSockets;
  /** What answers over TLS say of it. */
  readonly transportSecurity: string | undefined;
}

export class Upgrades {
  readonly #options: UpgradeOptions;

  constructor(options: UpgradeOptions) {
    this.#options = options;
  }

  /** Whether there are WebSockets at all. */
  get taken(): boolean {
    return this.#options.adapters.webSockets !== undefined;
  }

  /** Never rejects. */
  async onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { adapters, clock, cors, limits, proxies, transportSecurity } = this.#options;
    const startedAtMs = clock.monotonic();
    // Its own errors are those of a client that left.
    socket.on("error", swallow);
    joinCredentials(request.headers, request.rawHeaders);
    toOriginForm(request, transportSecurity !== undefined);
    const address = proxies.addressOf(request.headers, request.socket);
    dropClaims(request.headers);
    const { url = "", headers } = request;
    const refused =
      refuseHttp1(request, limits) ??
      cors.refuseSocket(headers.origin, headers.host) ??
      (await this.#upgrade({ request, socket, head }, address));
    if (refused === undefined) return;
    const id = requestIdFrom(headers["x-request-id"]);
    const told = refuseSocket(socket, refused, { id, transportSecurity });
    const isGraphql = adapters.graphql?.owns(url.split("?", 1)[0] ?? "") === true;
    const protocol = isGraphql ? "graphql" : "websocket";
    const peer = peerOf(request.socket, address);
    this.#options.onRefused?.({
      ...{ ...told, method: undefined, protocol, peer, startedAtMs, bytesIn: 0 },
      trace: traceHeadersOf(headers),
    });
  }

  async #upgrade(
    upgrade: Omit<Upgrade, "peer" | "onStalled">,
    address: string | undefined,
  ): Promise<Refusal | undefined> {
    const { request } = upgrade;
    const { adapters, stalled, transportSecurity } = this.#options;
    if (adapters.webSockets === undefined) return undefined;
    const certificates = transportSecurity !== undefined ? certificatesOf(request.socket) : undefined;
    const peer = {
      ...peerOf(request.socket, address),
      ...(certificates === undefined ? {} : { certificates }),
    };
    // The request itself would be held for as long as the socket is open.
    const connection = request.socket;
    const id = request.headers["x-request-id"];
    const onStalled = (tell: () => boolean): void =>
      stalled.onStalled(connection, () => this.#tell(tell, id, peer));
    const error = await adapters.webSockets.upgrade({ ...upgrade, peer, onStalled });
    return error === undefined ? undefined : { status: httpStatusOf(error), error };
  }

  /** Called by the timer of all sockets: what is thrown here would keep the others from hearing, and end the process. */
  #tell(tell: () => boolean, id: string | string[] | undefined, peer: Peer): boolean {
    try {
      return tell();
    } catch (cause) {
      const startedAtMs = this.#options.clock.monotonic();
      this.#options.onRefused?.({
        ...{ id: requestIdFrom(id), method: undefined, protocol: "websocket", peer },
        ...{ startedAtMs, bytesIn: 0, bytesOut: 0 },
        error: new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause }),
      });
      return false;
    }
  }
}
