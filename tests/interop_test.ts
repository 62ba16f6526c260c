/** Others on the same key: redis-cli, and redis-py as in the tutorials. */
import { assert, assertEquals } from "@std/assert";
import { ListQueue } from "@workshop/redis-patterns";
import { findRedis, findRedisPy } from "../tools/provision.ts";
import { redisTest } from "./support.ts";

const { cli, env } = await findRedis();
const py = await findRedisPy();

async function run(command: string, args: string[], environment: Record<string, string>) {
  const output = await new Deno.Command(command, { args, env: environment }).output();
  const text = new TextDecoder();
  assertEquals(text.decode(output.stderr), "");
  return text.decode(output.stdout).trim();
}

redisTest("ListQueue and redis-cli meet on the same list", async (test) => {
  assert(cli, "redis-cli comes with redis-server");
  const redisCli = (...args: string[]) => run(cli, ["-u", test.url, ...args], env);
  await using queue = new ListQueue<string>(test.redis, test.name, { codec: "text" });
  await redisCli("LPUSH", test.name, "hello");
  assertEquals((await queue.receive({ waitMs: 100 }))?.payload, "hello");
  await queue.enqueue("send_email_to_user@example.com");
  assertEquals(await redisCli("RPOP", test.name), "send_email_to_user@example.com");
});

redisTest(
  "ListQueue feeds the worker of the tutorial, and is fed by its producer",
  async (test) => {
    assert(py, "python3 with redis-py");
    const python = (code: string) =>
      run(
        py.python,
        ["-c", `from redis import Redis\nr = Redis.from_url("${test.url}")\n${code}`],
        {
          ...py.env,
        },
      );
    await using queue = new ListQueue<string>(test.redis, test.name, { codec: "text" });
    await python(`r.lpush("${test.name}", "send_email_to_user@example.com")`);
    assertEquals((await queue.receive())?.payload, "send_email_to_user@example.com");
    await queue.enqueueMany(["first", "second"]);
    const popped = await python(
      `print(r.rpop("${test.name}").decode(), r.brpop("${test.name}")[1])`,
    );
    assertEquals(popped, "first b'second'");

    const json = new ListQueue<{ data: number }>(test.redis, `${test.name}:json`);
    await python(`import json; r.lpush("${json.name}", json.dumps({"data": 42}))`);
    assertEquals((await json.receive())?.payload, { data: 42 });
  },
  { ignore: !py && Deno.env.get("CI") === undefined },
); // a machine without Python, at home
