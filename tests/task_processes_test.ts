/**
 * Tasks whose workers are processes that are killed in the middle of their work.
 *
 * @module
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer } from "@workshop/redis-patterns/tasks";
import { eventually, limit, serverTest } from "./support.ts";
import type { Orders, Tasks } from "./task_worker_process.ts";

const TASKS = 2_000;
const KILLS = 10;
const WORKERS = 4;

serverTest(
  "each of 2,000 tasks is done although a worker is killed ten times",
  async (server) => {
    const redis = await connect({ url: server.url });
    const name = "killed";
    const file = `${server.dir}/said.txt`;
    await Deno.writeTextFile(file, "");
    const orders: Orders = { url: server.url, name, file, leaseMs: 1_000, handleMs: 15 };
    const workers: Deno.ChildProcess[] = [];
    const spawn = () => {
      const program = new URL("./task_worker_process.ts", import.meta.url).pathname;
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-lock", "--no-check", program, JSON.stringify(orders)],
        stdin: "null",
        stdout: "null",
        stderr: "inherit",
      }).spawn();
      workers.push(child);
    };
    const said = (what: string) =>
      Deno.readTextFileSync(file).split("\n").filter((line) => line.startsWith(`${what} `))
        .map((line) => line.split(" ").slice(1).map(Number) as [n: number, pid: number]);
    const producer = new TaskProducer<Tasks>(redis, { name, keepRecords: { count: 10_000 } });
    try {
      const tasks = await producer.addMany(
        Array.from({ length: TASKS }, (_, n) => ({ type: "double", payload: { n } }) as const),
      );
      const results = Promise.all(tasks.map((task) => task.result()));
      results.catch(() => {}); // awaited below
      for (let i = 0; i < WORKERS; i++) spawn();
      for (let kill = 1; kill <= KILLS; kill++) {
        const enough = kill * TASKS / (KILLS + 2);
        // In the middle of a task: one that has begun more than it has done.
        const victim = await eventually(() => {
          const done = said("done");
          assertGreater(done.length, enough);
          const begun = new Map<number, number>();
          for (const [, pid] of said("start")) begun.set(pid, (begun.get(pid) ?? 0) + 1);
          for (const [, pid] of done) begun.set(pid, begun.get(pid)! - 1);
          const found = workers.find(({ pid }) => (begun.get(pid) ?? 0) > 0);
          assert(found);
          return found;
        }, 20_000);
        victim.kill("SIGKILL");
        await victim.status;
        workers.splice(workers.indexOf(victim), 1);
        spawn();
      }
      const given = await limit(results, "all results", 40_000);
      assertEquals(given.map(({ doubled }) => doubled), tasks.map((_, n) => 2 * n));
      assertEquals(new Set(said("done").map(([n]) => n)).size, TASKS);
      const twice = said("done").length - TASKS;
      assert(
        twice <= KILLS * 5,
        `${twice} were done twice, more than were in hand at ${KILLS} kills`,
      );
      await eventually(async () => {
        assertEquals(await producer.queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
      }, 5_000);
      for (const child of workers) child.kill("SIGTERM");
      await limit(Promise.all(workers.map(({ status }) => status)), "the end of all workers");
      const ready = `queue:{${name}}:ready`;
      assertEquals((await redis.xPending(ready, "workers")).pending, 0);
      assertEquals(await redis.xInfoConsumers(ready, "workers"), []);
      const records = await producer.queue.tasks(tasks.map(({ id }) => id));
      assertEquals(records.filter((record) => record?.state !== "done"), []);
    } finally {
      for (const child of workers) killIfAlive(child);
      await producer.close();
      redis.destroy();
    }
  },
  {},
  90_000,
);

function killIfAlive(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // it has ended already
  }
}
