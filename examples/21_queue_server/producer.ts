/**
 * @title   A queue server, producer
 * @run     deno run --allow-net=127.0.0.1:8021 examples/21_queue_server/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379,127.0.0.1:8021 examples/21_queue_server/blocking.ts
 * @redis   none
 *
 * Orders by HTTP. Each has an id of its own, so that one whose answer was lost can be sent again.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { help, now, say } from "../scoreboard.ts";

const defaults = { count: 6 };
const flags = parseArgs(Deno.args, { default: defaults });
help("A queue server, producer", flags, defaults);

/** Until there is an answer. The same id again is the same order, so it cannot be stored twice. */
async function send(order: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(order) };
  for (let tries = 1;; tries++) {
    try {
      return await fetch("http://127.0.0.1:8021/queues/orders/messages", init);
    } catch (error) { // the server is not there yet, or no more
      if (tries === 50) throw error;
      await pause(200);
    }
  }
}

say("producer", "sends to http://127.0.0.1:8021/queues/orders");
for (let n = 1; n <= Number(flags.count); n++) {
  const payload = { print: `print_${n} .`, madeAt: now() };
  const response = await send({ id: `print_${n}`, payload });
  const { id, duplicate } = await response.json();
  say("producer", `${response.status}  ${id}  duplicate: ${duplicate}`);
  await pause(150);
}

// Expect:
// [producer] sends to http://127.0.0.1:8021/queues/orders
// [producer] 201  print_1  duplicate: false
// [producer] 201  print_2  duplicate: false
// [producer] 201  print_3  duplicate: false
// [producer] 201  print_4  duplicate: false
// [producer] 201  print_5  duplicate: false
// [producer] 201  print_6  duplicate: false
