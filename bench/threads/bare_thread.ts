/**
 * A thread without our pool: it burns as often as it is told, and says when it has. What threads can
 * reach on this machine, at this moment.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { burn } from "./handlers.ts";

parentPort!.on(
  "message",
  ({ tasks, turns }: { tasks: number; turns: number }) => {
    for (let task = 0; task < tasks; task++) burn(turns);
    parentPort!.postMessage("done");
  },
);
parentPort!.postMessage("ready");
