import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Event, SubscribeRequestSchema } from "#gen/portico/events/v1/events_pb.ts";
import { type Call, clientGone, createUnaryCall } from "#rpc/call.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import type { Payload } from "#rpc/payload.ts";
import { localPrincipal } from "#rpc/principal.ts";
import { systemClock as clock } from "#std/clock.ts";
import { openStorage } from "#storage/storage.ts";
import { createEvents, migrations } from "./events.ts";

function newCall(): Call {
  return createUnaryCall(
    {
      ...{ method: {} as Method, id: "one", protocol: "grpc", peer: { address: "127.0.0.1", port: 1 } },
      ...{ principal: localPrincipal, metadata: new Metadata(), timeoutMs: undefined, startedAtMs: 0 },
    },
    {} as Payload,
  );
}

test("who follows keeps nothing for each event that it waited for, and ends with its call", async () => {
  const storage = await openStorage({ url: "memory:", migrations });
  const topics = [{ kind: "bpmn", scope: "bpmn:read" }];
  const events = createEvents({ storage, clock, topics, secret: new Uint8Array(32) });
  const call = newCall();
  let listeners = 0;
  const onCancel = call.onCancel.bind(call);
  call.onCancel = (listener) => {
    listeners += 1;
    onCancel(listener);
  };
  const request = create(SubscribeRequestSchema, { topics: ["bpmn/*"] });
  const subscribe = events.service.implementation.subscribe as (...given: unknown[]) => AsyncGenerator<Event>;
  const stream = subscribe(request, call);
  try {
    for (let count = 1; count <= 5; count += 1) {
      const next = stream.next();
      const unit = newCall();
      events.log.record({ type: "bpmn.created", subject: `bpmn/${count}`, data: {} }, unit);
      // The first has to be behind the cursor that the stream begins with.
      if (count === 1) await new Promise((resolve) => setTimeout(resolve, 20));
      await storage.tables().transaction(async () => undefined, unit);
      const { value } = await next;
      assert.equal((value as Event).subject, `bpmn/${count}`);
    }
    assert.equal(listeners, 1);
    const last = stream.next();
    call.cancel(clientGone());
    await assert.rejects(last, { reason: "CALL_CANCELED" });
  } finally {
    await events.close();
    await storage.close();
  }
});
