/**
 * gzip and Brotli, bounded: inflating stops at the limit instead of finding out afterwards.
 */
import { promisify } from "node:util";
import {
  brotliCompress,
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  gunzipSync,
  gzip as gzipCallback,
} from "node:zlib";
import { RpcError } from "#rpc/error.ts";

const gzipAsync = promisify(gzipCallback);
const brotliAsync = promisify(brotliCompress);

/** As HTTP and Connect spell them. */
export type Compression = "gzip" | "br";

export function isCompression(name: string): name is Compression {
  return name === "gzip" || name === "br";
}

const inflaters = {
  gzip: { now: gunzipSync, stream: createGunzip },
  br: { now: brotliDecompressSync, stream: createBrotliDecompress },
} as const;

/** How far a body may inflate. */
export interface InflateLimits {
  /** Of the result. */
  readonly maxBytes: number;
  /** Times its size, once the result is larger than `inflationFreeBytes`. */
  readonly maxInflation: number;
  /** Bytes that a result may have whatever its size was. Default 65 536. */
  readonly inflationFreeBytes?: number | undefined;
}

/** The options' defaults. */
export const defaultMaxInflation = 100;
export const defaultInflationFreeBytes = 65_536;
/** Up to here inflating at once is cheaper than a trip through the thread pool: as sent, and as inflated. */
const syncBytes = 4096;
const syncInflatedBytes = 262_144;

export async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  return gzipAsync(bytes, { level: constants.Z_BEST_SPEED });
}

export async function compress(bytes: Uint8Array, compression: Compression): Promise<Uint8Array> {
  if (compression === "gzip") return await gzip(bytes);
  return await brotliAsync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
}

/**
 * @throws RpcError `resource_exhausted` PAYLOAD_TOO_LARGE past the limit, `invalid_argument` MESSAGE_MALFORMED when corrupt.
 */
export async function inflateBounded(
  bytes: Uint8Array,
  compression: Compression,
  { maxBytes, maxInflation, inflationFreeBytes = defaultInflationFreeBytes }: InflateLimits,
): Promise<Uint8Array> {
  const limit = Math.min(maxBytes, Math.max(inflationFreeBytes, bytes.length * maxInflation));
  if (bytes.length > syncBytes) return inflateLarge(bytes, compression, limit);
  return inflateSmall(bytes, compression, limit);
}

function inflateSmall(
  bytes: Uint8Array,
  compression: Compression,
  limit: number,
): Uint8Array | Promise<Uint8Array> {
  const maxOutputLength = Math.min(limit, syncInflatedBytes);
  try {
    return inflaters[compression].now(bytes, { maxOutputLength });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw corrupt(cause);
    if (limit > maxOutputLength) return inflateLarge(bytes, compression, limit);
    throw tooLarge(limit);
  }
}

function inflateLarge(bytes: Uint8Array, compression: Compression, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const inflate = inflaters[compression].stream();
    inflate.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        inflate.destroy();
        reject(tooLarge(limit));
        return;
      }
      chunks.push(chunk);
    });
    inflate.on("end", () => resolve(Buffer.concat(chunks, size)));
    inflate.on("error", (cause) => reject(corrupt(cause)));
    inflate.end(bytes);
  });
}

function tooLarge(limit: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `the body inflates to more than ${limit} bytes`,
    metadata: { limitBytes: String(limit) },
  });
}

function corrupt(cause: unknown): RpcError {
  return new RpcError("invalid_argument", {
    reason: "MESSAGE_MALFORMED",
    message: "the body is not compressed as it says",
    cause,
  });
}
