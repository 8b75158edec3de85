/** Holds the import table of layers.ts: rows, doors, spelling, outside packages, no cycles. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { exceptions, guarded, layers } from "./layers.ts";
import { areaOf, files, importsOf, isDoor, src, targetOf } from "./source-files.ts";

describe("imports", () => {
  for (const file of files) {
    test(`${file} imports only what its row allows`, () => {
      for (const { specifier, typeOnly } of importsOf(file)) {
        const target = targetOf(file, specifier);
        if (target === undefined) checkPackage(file, specifier, typeOnly);
        else checkSource(file, specifier, target);
      }
    });
  }

  test("have no cycles", () => {
    const done = new Set<string>();
    const visit = (file: string, trail: readonly string[]): void => {
      assert.ok(!trail.includes(file), `cycle: ${[...trail, file].join(" -> ")}`);
      if (done.has(file)) return;
      for (const { specifier } of importsOf(file)) {
        const target = targetOf(file, specifier);
        if (target !== undefined) visit(target, [...trail, file]);
      }
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  test("every row has files, and every exception is used", () => {
    for (const row of Object.keys(layers)) {
      assert.ok(
        files.some((file) => areaOf(file) === row),
        `${row} has a row but no file`,
      );
    }
    for (const { file, target } of exceptions) {
      assert.ok(
        importsOf(file).some(({ specifier }) => targetOf(file, specifier) === target),
        `${file} no longer imports ${target}`,
      );
    }
  });

  test("no folder has a name that says nothing", () => {
    const empty = new Set(["utils", "helpers", "common", "types", "shared", "lib", "core"]);
    for (const file of files) {
      if (areaOf(file) === "gen") continue;
      const folder = path.posix
        .dirname(file)
        .split("/")
        .find((part) => empty.has(part));
      assert.equal(folder, undefined, `${file}: a folder is named after what is in it`);
      assert.notEqual(path.posix.basename(file), "index.ts", `${file}: the door is named like the folder`);
    }
  });
});

function checkSource(file: string, specifier: string, target: string): void {
  assert.ok(existsSync(path.join(src, target)), `${specifier}: there is no such file`);
  const from = areaOf(file);
  const to = areaOf(target);
  if (from === to && from !== ".") {
    assert.ok(specifier.startsWith("."), `${specifier}: stay relative inside ${from}`);
    return;
  }
  if (from === "." && to === ".") return;
  const row = layers[from]!;
  assert.ok(specifier.startsWith("#"), `${specifier}: leaving ${from} is spelled with #`);
  if (exceptions.some((exception) => exception.file === file && exception.target === target)) return;
  assert.ok(row.uses.includes("*") || row.uses.includes(to), `${from} may not use ${to}: ${row.why}`);
  assert.ok(layers[to]?.library === true || isDoor(target), `${target} is a room of ${to}; import its door`);
}

function checkPackage(file: string, specifier: string, typeOnly: boolean): void {
  if (specifier.startsWith("node:")) {
    const allowed = guarded[specifier];
    const ok = typeOnly || allowed === undefined || allowed.some((place) => file.startsWith(place));
    assert.ok(ok, `${specifier} may be imported only in ${allowed?.join(", ") || "no file"}`);
    return;
  }
  const row = layers[areaOf(file)]!;
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  assert.ok(
    row.packages?.includes(name),
    `${areaOf(file)} may not use the package ${name}: its row in layers.ts does not list it`,
  );
}
