/**
 * Names made here: unique among all processes, and in the order in which one process made them.
 *
 * @module
 */

/** Eight characters that no other process has. */
const PROCESS = random(8);

/** Three characters from 0 to z. */
const COUNTS = 36 ** 3;

let lastMs = 0;
let front = ""; // of all names of that millisecond
let count = 0;

/** A unique name: the time, this process, and a counter inside the millisecond. */
export function makeUid(): string {
  const ms = Date.now();
  // The clock may be set back, or give more than fits into a millisecond: the order stays.
  if (ms > lastMs || count === COUNTS - 1) {
    lastMs = Math.max(ms, lastMs + 1);
    front = lastMs.toString(36) + PROCESS;
    count = 0;
  } else count++;
  return front + (COUNTS + count).toString(36).slice(1);
}

/** Characters from a to z and 0 to 9. */
export function random(length: number): string {
  let text = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
    text += (byte % 36).toString(36);
  }
  return text;
}
