/**
 * Call metadata: lower-case names, several values each, order kept within a name.
 *
 * Names ending in `-bin` carry bytes, all others printable ASCII (0x20-0x7E).
 * The request's metadata is read from the protocol's headers on first use only: most calls never look.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests ("Custom-Metadata")
 */
export type MetadataValue = string | Uint8Array;

export class Metadata {
  #fields: Map<string, MetadataValue[]> | undefined;
  #source: (() => Iterable<readonly [string, MetadataValue]>) | undefined;
  readonly #headers: Readonly<Record<string, string | readonly string[] | undefined>> | undefined;

  /**
   * @param source read once, on first use; absent: empty.
   * @param headers where the source reads; single names are looked up there as long as nobody needs them all: a call whose
   * credential alone is read costs one look instead of a map of every header.
   */
  constructor(
    source?: () => Iterable<readonly [string, MetadataValue]>,
    headers?: Readonly<Record<string, string | readonly string[] | undefined>>,
  ) {
    this.#source = source;
    this.#headers = headers;
  }

  /** First text value, or undefined; a `-bin` name never answers here. */
  get(name: string): string | undefined {
    if (this.#fields === undefined && this.#headers !== undefined && !isReserved(name)) {
      const value = this.#headers[name];
      return typeof value === "string" ? value : value?.[0];
    }
    const value = this.#read().get(name)?.[0];
    return typeof value === "string" ? value : undefined;
  }

  getAll(name: string): readonly MetadataValue[] {
    return this.#read().get(name) ?? [];
  }

  has(name: string): boolean {
    return this.#read().has(name);
  }

  /** Replaces every value of `name` (lower case). */
  set(name: string, value: MetadataValue): void {
    this.#read().set(name, [value]);
  }

  append(name: string, value: MetadataValue): void {
    const fields = this.#read();
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [value]);
    else values.push(value);
  }

  delete(name: string): void {
    this.#read().delete(name);
  }

  /** Without a pair and a generator's step for each: for what is done every call. */
  forEach(visit: (name: string, value: MetadataValue) => void): void {
    this.#read().forEach((values, name) => {
      for (const value of values) visit(name, value);
    });
  }

  /** One pair a value. */
  *entries(): IterableIterator<[string, MetadataValue]> {
    for (const [name, values] of this.#read()) {
      for (const value of values) yield [name, value];
    }
  }

  #read(): Map<string, MetadataValue[]> {
    if (this.#fields !== undefined) return this.#fields;
    const fields = new Map<string, MetadataValue[]>();
    this.#fields = fields;
    const source = this.#source;
    this.#source = undefined;
    if (source !== undefined) for (const [name, value] of source()) this.append(name, value);
    return fields;
  }
}

/** RFC 9110 section 7.6.1, and what frames a message. */
const ofConnection: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Names that a source may leave out, or read otherwise: pseudo-headers, the protocol's own, and bytes. */
function isReserved(name: string): boolean {
  return name.startsWith(":") || name.startsWith("grpc-") || name.endsWith("-bin") || ofConnection.has(name);
}
