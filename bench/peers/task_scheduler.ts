/**
 * A `TaskScheduler`, alone or one of many on the same schedules: how late its ticks are, and what it
 * sends while nothing is due.
 *
 * @module
 */
import { connect } from "@workshop/redis-patterns";
import { TaskScheduler } from "@workshop/redis-patterns/tasks";
import deno from "../../deno.json" with { type: "json" };
import { scheduleKeys } from "../../redis/keys.ts";
import { removeQueue } from "../leased_peer.ts";
import { type OpenPeer, pause } from "../peer.ts";
import { SentCommands } from "../sent_commands.ts";

const IDLE_MS = 10_400; // ten rounds, and nothing of the next one

const open: OpenPeer = async (url, name) => {
  const redis = await connect({ url, name, heartbeatMs: 0 }); // its PINGs are not the scheduler's
  let late: number[] = [];
  const scheduler = new TaskScheduler<{ ping(): void }>(redis, {
    name,
    onEvent: (event) => {
      if (event.type === "fired") late.push(event.lateMs);
      else throw new Error(`not expected: ${event.type}`);
    },
  });
  const told = async () => {
    await scheduler.stop();
    return late.splice(0);
  };
  return {
    label: `TaskScheduler ${deno.version}`,
    enqueue: {},
    drain: {},
    probe: {
      /** How late each of `count` ticks is, in milliseconds by Redis's clock. */
      "a tick every 100 ms": async ({ count }) => {
        late = [];
        await scheduler.every("pulse", 100, "ping", null);
        scheduler.start();
        while (late.length < count) await pause(50);
        await scheduler.remove("pulse");
        return await told();
      },
      /** The same of the ticks that this one of several schedulers fired in `count` seconds. */
      "cron, a tick a second": async ({ count }) => {
        late = [];
        await scheduler.cron("second", "* * * * * *", "ping", null);
        scheduler.start();
        await pause(count * 1_000);
        return await told();
      },
      /** Commands a second while nothing is due. */
      "idle": async () => {
        await scheduler.cron("yearly", "0 0 1 1 *", "ping", null);
        scheduler.start();
        await pause(1_000);
        const watch = await SentCommands.watch(redis);
        const startedAt = performance.now();
        await pause(IDLE_MS);
        const sent = await watch.end();
        const seconds = (performance.now() - startedAt) / 1_000;
        await told();
        return [sent / seconds];
      },
    },
    fill: () => Promise.resolve(),
    empty: async () => {
      await removeQueue(redis, name);
      await redis.unlink(Object.values(scheduleKeys(name)));
    },
    close: () => redis.close(),
  };
};
export default open;
