/** Preloaded by a test into a process of its own: every module that is loaded is a line in the file that TEST_LOADED_MODULES names. */
import { appendFileSync } from "node:fs";
import { registerHooks } from "node:module";

const file = process.env.TEST_LOADED_MODULES;
registerHooks({
  load(url, context, nextLoad) {
    if (file !== undefined) appendFileSync(file, `${url}\n`);
    return nextLoad(url, context);
  },
});
