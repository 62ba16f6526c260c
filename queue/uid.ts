/**
 * Names made here: unique among all processes, and in the order in which one process made them.
 *
 * @module
 */

/** Eight characters that no other process has. */
const PROCESS = random(8);

let lastMs = 0;
let count = 0;

/** A unique name: the time, this process, and a counter inside the millisecond. */
export function makeUid(): string {
  const ms = Math.max(Date.now(), lastMs); // the clock may be set back; the order stays
  count = ms === lastMs ? count + 1 : 0;
  lastMs = ms;
  return `${ms.toString(36)}${PROCESS}${count.toString(36)}`;
}

/** Characters from a to z and 0 to 9. */
export function random(length: number): string {
  let text = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
    text += (byte % 36).toString(36);
  }
  return text;
}
