/**
 * A worker of tasks in a process of its own, to be killed by `task_processes_test.ts`. It says in a file what its
 * handlers have begun and done, since a dead process answers no questions.
 *
 * @module
 */
import { connect } from "@workshop/redis-patterns";
import { TaskWorker } from "@workshop/redis-patterns/tasks";

/** What the worker is told, as JSON in its first argument. */
export interface Orders {
  url: string;
  name: string;
  file: string;
  leaseMs: number;
  handleMs: number;
}

/** The tasks of the test. */
export interface Tasks {
  /** Gives the double of a number. */
  double(payload: { n: number }): { doubled: number };
}

if (import.meta.main) {
  const { url, name, file, leaseMs, handleMs } = JSON.parse(Deno.args[0]!) as Orders;
  const say = (what: string, n: number) =>
    Deno.writeTextFileSync(file, `${what} ${n} ${Deno.pid}\n`, { append: true });
  const redis = await connect({ url });
  const worker = new TaskWorker<Tasks>(redis, {
    name,
    leaseMs,
    concurrency: 5,
    maxAttempts: 20,
    backoff: () => 20,
    keepRecords: { count: 10_000 },
    handlers: {
      async double({ n }) {
        say("start", n);
        await new Promise((resolve) => setTimeout(resolve, handleMs));
        say("done", n);
        return { doubled: 2 * n };
      },
    },
  });
  const stop = new AbortController();
  Deno.addSignalListener("SIGTERM", () => stop.abort());
  await worker.run({ signal: stop.signal });
  await redis.close();
  Deno.exit(0);
}
