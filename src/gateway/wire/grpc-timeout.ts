/**
 * `grpc-timeout`: at most eight digits and a unit.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests ("Timeout")
 */
import { RpcError } from "#rpc/error.ts";

const millisecondsPer: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/**
 * Milliseconds, perhaps a fraction of one.
 * @param header name for the message.
 * @throws RpcError `invalid_argument` TIMEOUT_INVALID.
 */
export function parseGrpcTimeout(text: string, header = "grpc-timeout"): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  const unit = millisecondsPer[match?.[2] ?? ""];
  if (match === null || unit === undefined) {
    throw new RpcError("invalid_argument", {
      reason: "TIMEOUT_INVALID",
      message: `${header}: must be one to eight digits and a unit (H, M, S, m, u, n), for example 500m`,
      metadata: { header },
    });
  }
  return Number(match[1]) * unit;
}

/**
 * What protocols on plain HTTP take: `Portico-Timeout` and `Grpc-Timeout` are one thing, spelled as gRPC does: `500m`, `2S`.
 * @throws RpcError `invalid_argument` TIMEOUT_INVALID.
 */
export function readTimeout(headers: Readonly<Record<string, unknown>>): number | undefined {
  for (const name of ["portico-timeout", "grpc-timeout"]) {
    const text = headers[name];
    if (text !== undefined) return parseGrpcTimeout(String(text), name);
  }
  return undefined;
}
