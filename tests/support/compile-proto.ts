/** Descriptors of a contract that a test writes down. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../..");
const workspace = JSON.stringify({ version: "v2", modules: [{ path: "mine" }, { path: "imports" }] });

/**
 * A FileDescriptorSet of `file` alone with all its imports: google.api.*, google.rpc.*, portico.options.v1.*, portico.mcp.v1.*.
 * @throws Error with the compiler's words.
 */
export function compileProto(file: string, text: string): Uint8Array {
  const folder = mkdtempSync(path.join(tmpdir(), "portico-proto-"));
  try {
    cpSync(path.join(root, "proto/third_party"), path.join(folder, "imports"), { recursive: true });
    for (const own of ["portico/options", "portico/mcp"])
      cpSync(path.join(root, "proto", own), path.join(folder, "imports", own), { recursive: true });
    mkdirSync(path.join(folder, "mine", path.dirname(file)), { recursive: true });
    writeFileSync(path.join(folder, "mine", file), text);
    return execFileSync(
      path.join(root, "node_modules/.bin/buf"),
      ["build", "mine", "--config", workspace, "-o", "-#format=binpb"],
      { cwd: folder, maxBuffer: 16 * 1024 * 1024 },
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
