/** Emits dist/: JavaScript and declarations for the published package and the container. */
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { vendorFiles } from "../src/gateway/ingress/graphql/page-files.ts";

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
  "gateway/ingress/graphql/assets/start.css",
  "gateway/ingress/graphql/assets/start.js",
])
  cpSync(path.join(root, "src", asset), path.join(dist, asset));
// GraphiQL is 1.5 MB of a development dependency; with the 100 packages it stands on it would be 60 MB for everybody.
const vendor = path.join(dist, "gateway/ingress/graphql/assets/vendor");
for (const [name, { package: from, file }] of vendorFiles) {
  cpSync(path.join(root, "node_modules", from, file), path.join(vendor, name));
  cpSync(path.join(root, "node_modules", from, "LICENSE"), path.join(vendor, `LICENSE-${from}`));
}
chmodSync(path.join(dist, "main.js"), 0o755);
