/**
 * grpc.health.v1.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
import {
  Health as HealthDesc,
  HealthCheckResponse_ServingStatus as Status,
} from "#gen/grpc/health/v1/health_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { type HostedService, hostService } from "#rpc/service.ts";

export interface Health {
  readonly service: HostedService;
  /** Turns every service at once; false while draining. */
  setServing(serving: boolean): void;
}

/** @param services full names of the hosted services. */
export function createHealth(services: readonly string[]): Health {
  const known = new Set(["", ...services, HealthDesc.typeName]);
  const watchers = new Set<() => void>();
  let status: Status = Status.SERVING;
  const statusOf = (service: string): Status => (known.has(service) ? status : Status.SERVICE_UNKNOWN);
  const service = hostService(HealthDesc, {
    check: ({ service: name }) => {
      if (!known.has(name))
        throw new RpcError("not_found", {
          reason: "SERVICE_UNKNOWN",
          message: `there is no service "${name.slice(0, 200)}"`,
        });
      return { status: statusOf(name) };
    },
    list: () => ({
      statuses: Object.fromEntries([...known].map((name) => [name, { status: statusOf(name) }])),
    }),
    watch: ({ service: name }, call) => watch(() => statusOf(name), watchers, call),
  });
  return {
    service,
    setServing: (serving) => {
      status = serving ? Status.SERVING : Status.NOT_SERVING;
      for (const wake of watchers) wake();
    },
  };
}

/** The status now and every change of it, until the client leaves. */
async function* watch(read: () => Status, watchers: Set<() => void>, call: CallHead) {
  let wake: () => void = () => {};
  const notify = (): void => wake();
  watchers.add(notify);
  call.onCancel(notify);
  try {
    for (let last: Status | undefined; call.canceledBy === undefined; ) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const now = read();
      if (now !== last) yield { status: now };
      last = now;
      await changed;
    }
  } finally {
    watchers.delete(notify);
  }
}
