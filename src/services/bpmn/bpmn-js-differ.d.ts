/** What of bpmn-js-differ is used here; the package has no types. */
declare module "bpmn-js-differ" {
  import type { Element } from "./element.ts";

  export function diff(
    before: Element,
    after: Element,
  ): {
    readonly _layoutChanged: Readonly<Record<string, Element>>;
  };
}
