/** Base64 piece by piece. Clients may pad in the middle of a stream: every group of four stands for itself. */
import { RpcError } from "#rpc/error.ts";

export class Base64Decoder {
  #rest = "";

  /** @throws RpcError FRAME_MALFORMED for what is no base64. */
  push(chunk: Uint8Array): Uint8Array {
    const text = this.#rest + Buffer.from(chunk).toString("latin1");
    const whole = text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    const groups = text.slice(0, whole);
    if (!/^[A-Za-z0-9+/=]*$/.test(groups)) throw notBase64();
    if (!groups.slice(0, -4).includes("=")) return Buffer.from(groups, "base64");
    const parts: Buffer[] = [];
    for (let from = 0; from < groups.length; ) {
      const padded = groups.indexOf("=", from);
      const to = padded === -1 ? groups.length : Math.ceil((padded + 1) / 4) * 4;
      parts.push(Buffer.from(groups.slice(from, to), "base64"));
      from = to;
    }
    return Buffer.concat(parts);
  }

  /** @throws RpcError FRAME_MALFORMED where the last group is cut. */
  end(): void {
    if (this.#rest !== "") throw notBase64();
  }
}

function notBase64(): RpcError {
  return new RpcError("internal", {
    reason: "FRAME_MALFORMED",
    message:
      "the body is not base64 in whole groups of four, which application/grpc-web-text is; send bytes as application/grpc-web",
  });
}

/** Each piece is whole groups: readers need not wait for the next to read this one. */
export class Base64Encoder {
  push(chunk: Uint8Array): Uint8Array {
    return Buffer.from(Buffer.from(chunk).toString("base64"), "latin1");
  }

  end(): Uint8Array {
    return new Uint8Array(0);
  }
}
