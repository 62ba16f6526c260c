/**
 * A supervisor for `supervise_test.ts`, in a process of its own to be signalled and killed. Its first
 * argument says how it ends, the others are for its children.
 */
import { supervise } from "@workshop/redis-patterns/tasks";

const [how, ...args] = Deno.args;
const crew = supervise({
  module: new URL("./supervised_child.ts", import.meta.url),
  processes: 3,
  runtimeArgs: ["-A", "--no-lock", "--no-check"],
  args,
  graceMs: 20_000,
});
// Waits for a line on stdin before it ends in its own way.
if (how !== "wait") {
  await Deno.stdin.read(new Uint8Array(10));
  if (how === "exit") Deno.exit(3);
  if (how === "throw") throw new Error("uncaught, as asked");
  if (how === "later") void Promise.reject(new Error("uncaught, as asked"));
}
await crew.ended;
