/** Emits dist/: JavaScript and declarations for the published package and the container. */
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const dist = path.join(root, "dist");

rmSync(dist, { recursive: true, force: true });
execFileSync("tsc", ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
// tsc rewrites "./x.ts" to "./x.js"; the "#x.ts" specifiers stay, and this maps them (Node strips no types under node_modules).
writeFileSync(
  path.join(dist, "package.json"),
  `${JSON.stringify({ type: "module", imports: { "#*.ts": "./*.js" } })}\n`,
);
for (const asset of [
  "gen/contract.binpb",
  "gateway/ingress/pages/assets/docs.css",
  "gateway/ingress/pages/assets/docs.js",
])
  cpSync(path.join(root, "src", asset), path.join(dist, asset));
chmodSync(path.join(dist, "main.js"), 0o755);
