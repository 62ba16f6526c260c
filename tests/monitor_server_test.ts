/** The dashboard and the job queue server as programs, and the programs of step 21 that talk to them. */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { libraryEnv } from "../tools/debian.ts";
import { findRedisPy, unpackDebian } from "../tools/provision.ts";
import { run, which } from "../tools/run.ts";
import { post, serve } from "./monitor_web_support.ts";
import { eventually, limit, serverTest } from "./support.ts";

serverTest(
  "the programs of step 21 in Python, and its curl lines, do what they say",
  async (redis) => {
    await using server = serve({ redis: redis.url });
    const py = await findRedisPy();
    assert(py, "there is no python3");
    const step = new URL("../examples/21_queue_server/", import.meta.url);
    const python = async (name: string) => {
      const text = await Deno.readTextFile(new URL(name, step));
      const here = text.replace("http://127.0.0.1:8021", server.url);
      const { ok, stdout, stderr } = await run(py.python, ["-c", here], { env: py.env });
      assert(ok, stderr);
      return stdout.trim().split("\n");
    };
    const ids = [1, 2, 3].map((n) => `from_python_${n}`);
    assertEquals(await python("producer.py"), ids.map((id) => `201 ${id}`));
    assertEquals(
      await python("producer.py"),
      ids.map((id) => `200 ${id}`),
      "sent again, stored once",
    );
    assertEquals(await python("consumer.py"), ids.map((id) => `${id} . attempt 1`));

    const readme = await Deno.readTextFile(new URL("README.md", step));
    const lines = readme.replaceAll("\\\n", "").split("\n").filter((line) =>
      /^curl (-X|localhost)/.test(line)
    );
    assertEquals(lines.length, 4);
    const curl = await which("curl") ?? `${await unpackDebian(["curl"])}/usr/bin/curl`;
    const env = curl.startsWith("/usr/")
      ? {}
      : await libraryEnv(curl.replace(/\/usr\/bin\/curl$/, ""));
    let token = "";
    const answers: string[] = [];
    for (const line of lines) {
      const here = line.replace("localhost:8021", new URL(server.url).host).replace(
        "<token>",
        token,
      );
      const args = [...here.slice("curl ".length).matchAll(/'([^']*)'|(\S+)/g)].map(([, a, b]) =>
        a ?? b!
      );
      const { ok, stdout, stderr } = await run(curl, ["-s", ...args], { env });
      assert(ok, `${here}: ${stderr}`);
      answers.push(stdout);
      token = /"token":"([^"]+)"/.exec(stdout)?.[1] ?? token;
    }
    assertMatch(answers[0]!, /^\{"id":"[^"]+","duplicate":false\}$/);
    assertMatch(answers[1]!, /"print":"by hand \."/);
    assertEquals(answers[2], "");
    assertEquals(JSON.parse(answers[3]!).counts, { ready: 0, leased: 0, delayed: 0, dead: 0 });
  },
);

/** `deno task dashboard`, as a process. */
function program(...args: string[]): Deno.ChildProcess {
  const script = new URL("../monitor/server.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
}

Deno.test("the dashboard's program refuses what it cannot do, and says why", async () => {
  const cases: [args: string[], says: RegExp][] = [
    [["--host", "0.0.0.0"], /^Others can reach 0\.0\.0\.0: give a token/],
    [["--port", "many"], /^--port must be a number from 0 to 65535, but is "many"/],
    [["--prot", "80"], /^There is no --prot/],
    [["--write", "--read-only"], /^Either/],
    [["--lease-ms", "1"], /--lease-ms/],
  ];
  await Promise.all(cases.map(async ([args, says]) => {
    const { code, stderr, stdout } = await program(...args).output();
    assertEquals([code, stdout.length], [2, 0], args.join(" "));
    assertMatch(new TextDecoder().decode(stderr), says);
  }));
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = `${taken.addr.port}`;
  for (
    const [args, says] of [
      [["--port", port], `Port ${port} of 127.0.0.1 is taken by another program: --port N`],
      [["--port", "0", "--url", "localhost:6379"], 'Not a Redis URL: "localhost:6379"'],
    ] as const
  ) {
    const { code, stderr, stdout } = await program(...args).output();
    assertEquals([code, stdout.length], [1, 0], args.join(" "));
    assert(new TextDecoder().decode(stderr).startsWith(says));
  }
  const { code, stdout } = await program("--help").output();
  assertEquals(code, 0);
  assert(new TextDecoder().decode(stdout).includes("deno task dashboard"));
});

serverTest(
  "the dashboard's program is read-only for others, and ends with SIGTERM while somebody waits",
  async (redis) => {
    const child = program(
      "--port",
      "0",
      "--host",
      "0.0.0.0",
      "--name",
      "queues.example",
      "--token",
      "auto",
      "--url",
      redis.url,
    );
    const errors = new Response(child.stderr).text();
    let text = "";
    const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    while (!text.includes("token ")) text += (await said.read()).value ?? "";
    const [, port, token] = /^http:\/\/queues\.example:(\d+) {2}\(read-only\)\ntoken (\S{24})\n/
      .exec(text)!;
    const url = `http://127.0.0.1:${port}`;
    const ask = (path: string, headers: Record<string, string> = {}) => {
      return fetch(url + path, { headers: { authorization: `Bearer ${token}`, ...headers } });
    };
    assertEquals((await post(`${url}/queues/mails/messages`, { payload: 1 })).status, 401);
    const refused = await fetch(`${url}/queues/mails/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
    assertEquals([refused.status, (await refused.json()).title], [403, "Read-only"]);
    const queues = await ask("/queues");
    assertEquals([queues.status, await queues.json()], [200, { queues: [] }]);
    const open = await ask("/live/");
    const stoppedAt = performance.now();
    child.kill("SIGTERM");
    await open.text();
    const { code } = await child.status;
    assertEquals([code, await errors], [0, ""]);
    assertLess(performance.now() - stoppedAt, 3_000);
    await said.cancel();
  },
);

Deno.test("deno task demo --dashboard shows the demo's queues on a page, until Ctrl-C", async () => {
  const script = new URL("../tools/demo.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, "--dashboard"],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
    env: { NO_COLOR: "1", REDIS_URL: "" },
  }).spawn();
  const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    let text = "";
    let url: string | undefined;
    while (!(url = /(http:\S+) shows its queues/.exec(text)?.[1])) {
      const { value, done } = await limit(said.read(), "the demo says its address");
      assert(!done, text);
      text += value;
    }
    await eventually(async () => {
      const { queues } = await (await fetch(`${url}/queues`)).json();
      assert(queues.length > 0);
    }, 20_000);
    child.kill("SIGINT");
    while (!(await limit(said.read(), "the demo ends")).done);
    assertEquals((await child.status).code, 130);
  } finally {
    await said.cancel();
    await child.status;
  }
});
