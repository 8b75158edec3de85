/** IP addresses in CIDR blocks. */
import { BlockList, isIP } from "node:net";

/** Undefined: the text is no block. */
export function parseBlock(
  text: string,
): { readonly address: string; readonly prefix: number; readonly family: "ipv4" | "ipv6" } | undefined {
  const [address = "", prefixText, more] = text.split("/");
  const version = isIP(address);
  if (version === 0 || more !== undefined || (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText)))
    return undefined;
  const width = version === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? width : Number(prefixText);
  return prefix > width ? undefined : { address, prefix, family: version === 4 ? "ipv4" : "ipv6" };
}

/** Whether an address is in any of the blocks; texts that are no blocks have nothing in them. */
export function isInBlocks(address: string, blocks: readonly string[]): boolean {
  return compileBlocks(blocks)(address);
}

/** The same, for blocks that are asked often. */
export function compileBlocks(blocks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const text of blocks) {
    const block = parseBlock(text);
    if (block !== undefined) list.addSubnet(block.address, block.prefix, block.family);
  }
  return (address) => {
    const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
    const version = isIP(plain);
    return version !== 0 && list.check(plain, version === 4 ? "ipv4" : "ipv6");
  };
}
