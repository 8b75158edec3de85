/** A real Chromium, where the machine has one. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const candidates = [
  process.env.PORTICO_CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** Where Chromium is; undefined where there is none. */
export const chromiumPath = candidates.find((path) => path !== undefined && existsSync(path));

/** Why a test that needs a browser is skipped; false where it is not. */
export const noBrowser =
  chromiumPath === undefined &&
  "there is no Chromium: run scripts/install-browser.sh or set PORTICO_CHROMIUM";

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath ?? "chromium",
    headless: true,
    // Tests may run as root, where Chromium's sandbox does not; and it is to speak to nobody but the server under test.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
