/** An element as bpmn-moddle gives it, and ways to look into it. */
export interface Element {
  readonly $type: string;
  readonly $parent?: Element;
  readonly $descriptor: {
    readonly ns?: { readonly uri?: string; readonly localName: string };
    readonly properties?: readonly {
      readonly name: string;
      readonly ns?: { readonly localName: string };
      readonly isReference?: boolean;
      readonly isMany?: boolean;
      readonly isVirtual?: boolean;
    }[];
  };
  readonly $attrs?: Readonly<Record<string, string>>;
  readonly $children?: readonly Element[];
  readonly $body?: string;
  readonly id?: string;
  readonly name?: string;
  $instanceOf?(type: string): boolean;
  readonly [property: string]: unknown;
}

export function isElement(value: unknown): value is Element {
  return typeof value === "object" && value !== null && typeof (value as Element).$type === "string";
}

/** A property that holds many, empty where it is absent. */
export function many(element: Element, property: string): readonly Element[] {
  const value = element[property];
  return Array.isArray(value) ? (value as Element[]) : [];
}

export function one(element: Element, property: string): Element | undefined {
  const value = element[property];
  return isElement(value) ? value : undefined;
}

export function is(element: Element, type: string): boolean {
  return element.$instanceOf?.(type) ?? false;
}

const zeebe = "http://camunda.org/schema/zeebe/1.0";

/** Extension elements of the namespace that binds tasks, whatever prefix the document gives it. */
export function extensionsOf(element: Element, localName: string): readonly Element[] {
  const extensions = one(element, "extensionElements");
  return extensions === undefined
    ? []
    : many(extensions, "values").filter(
        ({ $descriptor: { ns } }) => ns?.uri === zeebe && ns.localName === localName,
      );
}

/** The name of a vendor's element, with the usual prefix where there is one, whatever prefix the document chose. */
export function canonicalName(element: Element): string {
  const { ns } = element.$descriptor;
  return ns?.uri === zeebe ? `zeebe:${ns.localName}` : element.$type;
}
