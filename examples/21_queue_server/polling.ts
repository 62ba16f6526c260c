/**
 * @title   A queue server, polling
 * @run     deno run --allow-net=127.0.0.1:6379,127.0.0.1:8021 examples/21_queue_server/polling.ts
 * @with    deno run --allow-net=127.0.0.1:8021 examples/21_queue_server/producer.ts
 * @redis   EVALSHA · ZRANGE
 *
 * The server is all that knows Redis. The worker below is a program that can send HTTP, in any
 * language: it asks every 100 ms, and the answer comes at once: an order, or "nothing" (204).
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { Dashboard } from "@workshop/redis-patterns/dashboard";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { count: 6 };
const flags = parseArgs(Deno.args, { string: ["url"], default: defaults });
help("A queue server, polling", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());
const score = new Scoreboard();

const server = new Dashboard({ redis: flags.url });
const listening = Deno.serve({ hostname: "127.0.0.1", port: 8021, onListen() {} }, server.fetch);

/** Posts JSON; undefined when the server has nothing to say (204), or when we are to stop. */
async function post(path: string, body: unknown) {
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(body), signal };
  const response = await fetch(`http://127.0.0.1:8021${path}`, init).catch(() => undefined);
  return response?.status === 200 ? await response.json() : void await response?.body?.cancel();
}

await post("/queues/orders/receive?kind=list", {}); // there is such a queue from now on
say("worker", "asks http://127.0.0.1:8021/queues/orders, every 100 ms");
while (!signal.aborted && score.messages < Number(flags.count)) {
  const answer = await post("/queues/orders/receive?kind=list", {});
  if (!answer) await pause(100, undefined, { signal }).catch(() => {});
  for (const { payload, attempt, token } of answer?.deliveries ?? []) {
    const waited = score.received(payload);
    say("worker", `${payload.print}  attempt ${attempt}, waited ${waited} ms … done`);
    await post(`/deliveries/${token}/ack`, {});
  }
}
score.print();
await server.close();
await listening.shutdown();

// Expect:
// [worker] asks http://127.0.0.1:8021/queues/orders, every 100 ms
// [worker] print_1 .  attempt 1, waited <ms> ms … done
// [worker] print_2 .  attempt 1, waited <ms> ms … done
// [worker] print_3 .  attempt 1, waited <ms> ms … done
// [worker] print_4 .  attempt 1, waited <ms> ms … done
// [worker] print_5 .  attempt 1, waited <ms> ms … done
// [worker] print_6 .  attempt 1, waited <ms> ms … done
// [score]  messages 6  commands <n>  wait p50 <ms> ms
