/**
 * A scheduler in a process of its own, to be killed by `task_scheduler_faults_test.ts`, or to be one of ten. Its
 * first argument says where Redis is, the second one which queue. It says `ready` when it runs.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program
import { connect } from "@workshop/redis-patterns";
import { TaskScheduler } from "@workshop/redis-patterns/tasks";

const [url, name] = Deno.args;
const redis = await connect({ url: url! });
const scheduler = new TaskScheduler(redis, { name: name! });
const running = scheduler.run();
console.log("ready");
await running;
