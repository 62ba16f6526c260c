/**
 * What the partitions of a queue are called, and how many there are.
 *
 * A queue lives in one slot, so on one master. Partitions are queues of their own whose names are chosen
 * so that the slots of n partitions lie in n equal parts of all slots: masters that share the slots
 * evenly share the partitions evenly, whatever the queue is called.
 *
 * A message's partition depends on how many there are. So the number is kept in Redis, and whoever comes
 * with another one is refused: it would look for messages where none are.
 *
 * @module
 */
import { partitionsKey } from "../redis/keys.ts";
import { defineScript, type Send } from "../redis/script.ts";
import { slotOf, SLOTS } from "../redis/slots.ts";

/** The name of partition `index` of `count`. */
export function partitionName(name: string, index: number, count: number): string {
  for (let tries = 0;; tries++) {
    const candidate = `${name}.${index + 1}of${count}${tries === 0 ? "" : `-${tries}`}`;
    if (partOf(candidate, count) === index) return candidate;
  }
}

/** Which of `count` equal parts of all slots a text is in. */
export function partOf(text: string, count: number): number {
  return Math.floor(slotOf(text) * count / SLOTS);
}

/** Enters how many partitions there are, where nobody has; gives how many there are. */
const partitionsScript = defineScript({
  name: "partitions",
  keys: ["partitions"],
  args: ["count"],
  lua: `
local known = redis.call("GET", partitions)
if not known then
  if count == "0" then return 0 end
  redis.call("INCRBY", partitions, count)  -- a SET, by a command that accounts may use already
end
return tonumber(known or count)`,
  reply: Number,
});

/**
 * Makes sure that the queue has this many partitions.
 *
 * @throws {TypeError} saying what to do, if it has another number of them.
 */
export async function enterPartitions(send: Send, name: string, count: number): Promise<void> {
  const known = await partitionsScript.run(send, { partitions: partitionsKey(name) }, { count });
  if (known === count) return;
  throw new TypeError(
    `The queue ${JSON.stringify(name)} has ${known} partitions, and this object was made with ` +
      `partitions: ${count}; nothing was changed. Use partitions: ${known}. To have another number, ` +
      `stop its producers, let the consumers empty it, call dissolve() on an object made with ` +
      `partitions: ${known}, and begin with the new number`,
  );
}

/** Forgets how many there were. */
export async function forgetPartitions(send: Send, name: string): Promise<void> {
  await send(["UNLINK", partitionsKey(name)]);
}
