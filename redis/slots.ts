/**
 * Which slot of a cluster a key is in: CRC16 of the key, or of its hash tag (what stands between the
 * first `{` and the next `}`), modulo 16,384.
 *
 * @see {@link https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model}
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** How many slots a cluster has. */
export const SLOTS = 16_384;

/** CRC16 in its XMODEM form, a byte at a time. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
  return crc;
});

/** The slot of a key. */
export function slotOf(key: string): number {
  const bytes = Buffer.from(tagOf(key));
  let crc = 0;
  for (const byte of bytes) crc = (crc << 8 ^ TABLE[(crc >> 8 ^ byte) & 0xff]!) & 0xffff;
  return crc % SLOTS;
}

/** The part of a key that chooses its slot. */
export function tagOf(key: string): string {
  const open = key.indexOf("{");
  const close = open < 0 ? -1 : key.indexOf("}", open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

/** The slots that were looked up lately: a program uses the keys of a few queues. */
const lately = new Map<string, number>();

/** The slot of a hash tag, remembered. */
export function slotOfTag(tag: string): number {
  let slot = lately.get(tag);
  if (slot === undefined) {
    if (lately.size >= 1_000) lately.clear();
    lately.set(tag, slot = slotOf(tag));
  }
  return slot;
}
