/**
 * The process a peer runs in: it reads one order a line from standard input, writes one answer a
 * line to standard output, and ends with its input. Runs in Deno and in Node.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- standard output is the way to the parent

import process from "node:process";
import { createInterface } from "node:readline";
import { type Answer, ANSWER_MARK, type Introduction, type OpenPeer, type Order } from "./peer.ts";

async function host([module, url, name]: string[]): Promise<void> {
  const { default: open } = await import(`./peers/${module}.ts`) as {
    default: OpenPeer;
  };
  const peer = await open(url!, name!);
  const ways = {
    enqueue: Object.keys(peer.enqueue),
    drain: Object.keys(peer.drain),
    probe: Object.keys(peer.probe ?? {}),
  };
  answer({ result: { label: peer.label, ...ways } satisfies Introduction });

  for await (const line of createInterface({ input: process.stdin })) {
    const { verb, way = "", work = { count: 0, atATime: 1 } } = JSON.parse(
      line,
    ) as Order;
    // One peer's, or one round's, garbage is not the next one's work.
    (globalThis as { gc?: () => void }).gc?.();
    try {
      const run = verb === "enqueue" || verb === "drain" || verb === "probe"
        ? peer[verb]?.[way]
        : peer[verb].bind(peer);
      answer({ result: await run!(work) ?? null });
    } catch (error) {
      answer({
        error: error instanceof Error ? `${error.stack}` : String(error),
      });
    }
    if (verb === "close") break;
  }
  // Libraries that leave a socket or a timer behind must not keep us here.
  process.exit();
}

function answer(answer: Answer): void {
  console.log(ANSWER_MARK + JSON.stringify(answer));
}

await host(process.argv.slice(2));
