/**
 * The wiring, from top to bottom: what exists in a running Portico and who is given what. No logic; the table of contents.
 */
import { readFileSync } from "node:fs";
import { type Config, readSecret } from "#config/config.ts";
import { reasons as adminReasons, createHealth, createReflection } from "#gateway/admin/admin.ts";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline, createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  createGrpc,
  createPages,
  createRest,
  reasons as ingressReasons,
  type Listener,
  listen,
  pagePaths,
} from "#gateway/ingress/ingress.ts";
import { reasons as wireReasons } from "#gateway/wire/reasons.ts";
import { reasons as rpcReasons } from "#rpc/reasons.ts";
import { migrations as bpmnMigrations, reasons as bpmnReasons, createBpmn } from "#services/bpmn/bpmn.ts";
import { systemClock as clock } from "#std/clock.ts";
import { reasons as storageReasons } from "#storage/reasons.ts";
import { openStorage } from "#storage/storage.ts";
import { createTelemetry } from "#telemetry/telemetry.ts";

/** A gateway that runs. */
export interface Portico {
  readonly version: string;
  /** Where REST is, without a slash at the end. */
  readonly url: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  /** Where the data is, for people. */
  readonly database: string;
  /** Drains in order, then closes everything. */
  stop(): Promise<void>;
}

export const version = "0.1.0";

/** @throws Error with what, why and what to do, when a port, the database or the contract is not usable. */
export async function start(config: Config): Promise<Portico> {
  const catalog = loadCatalog({
    descriptorSet: readFileSync(new URL("./gen/contract.binpb", import.meta.url)),
    codec: { unknownFields: config.unknownFields },
    query: { unknown: config.unknownParameters },
    reservedPaths: pagePaths,
  });
  const telemetry = createTelemetry({ logLevel: config.logLevel, clock });
  const storage = await openStorage({
    url: config.databaseUrl,
    migrations: bpmnMigrations,
    autoMigrate: config.autoMigrate,
  });
  const bpmn = createBpmn({ storage, secret: readSecret(config), clock });

  const hosted = [bpmn.service];
  const names = hosted.map((service) => service.desc.typeName);
  const health = createHealth(names);
  const reflection = createReflection(catalog, [...names, "grpc.health.v1.Health"]);
  const runtime = createRuntime({
    catalog,
    services: [...hosted, health.service, ...reflection],
    interceptors: [
      telemetry.interceptor, // outermost: sees every call, the refused ones too
      createDeadline({ clock }), // before any work is done
    ],
  });

  let listener: Listener | undefined;
  const url = (): string => config.publicUrl ?? `http://localhost:${listener?.httpPort ?? config.httpPort}`;
  const close = async (): Promise<void> => {
    await bpmn.close();
    await storage.close();
    telemetry.flush();
  };
  try {
    listener = await listen({
      host: config.host,
      httpPort: config.httpPort,
      grpcPort: config.grpcPort,
      clock,
      adapters: {
        grpc: createGrpc({ runtime: () => runtime }),
        rest: createRest({ runtime: () => runtime }),
        pages: createPages({
          runtime: () => runtime,
          ready: () => listener !== undefined && !listener.draining,
          reasons: [rpcReasons, wireReasons, ingressReasons, adminReasons, storageReasons, bpmnReasons],
          renderMetrics: telemetry.renderMetrics,
          serverUrl: url,
          version,
        }),
      },
    });
  } catch (error) {
    await close();
    throw error;
  }
  const running = listener;
  return {
    version,
    url: url(),
    httpPort: running.httpPort,
    grpcPort: running.grpcPort,
    database: storage.place,
    stop: async () => {
      health.setServing(false);
      await running.drain();
      await close();
    },
  };
}
