/**
 * The tools that give everybody a real Redis: they start one, break it as asked, and leave nothing
 * behind, even when they are killed. Each test ends when its processes and folders are gone.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { exists } from "../tools/debian.ts";
import { findRedis, findRedisPy } from "../tools/provision.ts";
import { connection } from "../tools/redis_cli.ts";
import { freePort, RedisServer } from "../tools/redis_server.ts";
import { isReady } from "../tools/redis_config.ts";
import { run, which } from "../tools/run.ts";

const TOOLS = new URL("../tools/", import.meta.url).href;
const openssl = await which("openssl");

Deno.test("RedisServer.start() and stop() leave no process and no folder", async () => {
  const server = await RedisServer.start();
  assert(await isRunning(server.pid));
  assertEquals(server.url, `redis://127.0.0.1:${server.port}`);
  await server.stop();
  assert(!await isRunning(server.pid));
  assert(!await exists(server.dir));
  await server.stop(); // again: nothing to do
});

Deno.test("RedisServer.start() gives two at once two ports", async () => {
  const [one, two] = await Promise.all([RedisServer.start(), RedisServer.start()]);
  await using _one = one;
  await using _two = two;
  assertNotEquals(one.port, two.port);
  assertNotEquals(one.dir, two.dir);
});

Deno.test("RedisServer.start() names a fixed port that is taken", async () => {
  await using other = await RedisServer.start(); // a Redis that would answer our PING, too
  const { port } = other;
  await assertRejects(() => RedisServer.start({ port }), Deno.errors.AddrInUse, `${port}`);
});

Deno.test("RedisServer.start() fails with the log when the configuration is bad", async () => {
  const config = { "no-such-directive": "yes" };
  await assertRejects(() => RedisServer.start({ config }), Error, "no-such-directive");
});

Deno.test("RedisServer.start() takes configuration lines and a password", async () => {
  const config = { "maxmemory": "64mb", "client-output-buffer-limit": ["normal 0 0 0"] };
  await using server = await RedisServer.start({ config, password: "a b" });
  assertEquals(server.url, `redis://:a%20b@127.0.0.1:${server.port}`);
  assertStringIncludes(await server.cli("CONFIG", "GET", "maxmemory"), "67108864");
});

Deno.test("RedisServer.start() makes a replica that follows its primary", async () => {
  await using primary = await RedisServer.start();
  await using replica = await RedisServer.start({ replicaOf: primary });
  await primary.cli("SET", "key", "value");
  await until(async () => await replica.cli("GET", "key") === "value");
});

Deno.test({
  name: "RedisServer.start() speaks TLS",
  ignore: !openssl,
  fn: async () => {
    await using folder = await temporary();
    const [cert, key] = [`${folder.path}/cert.pem`, `${folder.path}/key.pem`];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    const leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    const files = ["-nodes", "-keyout", key, "-out", cert];
    await run(openssl!, ["req", "-x509", "-newkey", "rsa:2048", ...files, ...subject, ...leaf]);
    await using server = await RedisServer.start({ tls: { cert, key, ca: cert } });
    assertEquals(server.url, `rediss://127.0.0.1:${server.port}`);
    assertEquals(await server.cli("PING"), "PONG");
  },
});

Deno.test("RedisServer.restart() after kill() finds the data again with aof", async () => {
  await using server = await RedisServer.start({ aof: true });
  const { pid, port } = server;
  await server.cli("SET", "key", "value");
  await server.kill();
  assert(!await isRunning(pid));
  await server.restart();
  assertEquals(server.port, port);
  assertNotEquals(server.pid, pid);
  assertEquals(await server.cli("GET", "key"), "value");
});

Deno.test("RedisServer.pause() freezes the server until resume(), and stop() thaws it", async () => {
  await using server = await RedisServer.start();
  await server.pause();
  assertEquals(await isReady({}, server), false);
  await server.resume();
  assertEquals(await isReady({}, server), true);
  await server.pause();
});

Deno.test("RedisServer.ended() settles when the server ends by itself", async () => {
  await using server = await RedisServer.start();
  const ended = server.ended();
  await server.cli("SHUTDOWN", "NOSAVE").catch(() => {}); // the reply is a closed connection
  await ended;
});

for (const options of ["", `{ sentinel: ["sentinel monitor m 127.0.0.1 1 1"] }`]) {
  const what = options ? "RedisServer that is a Sentinel" : "RedisServer";
  Deno.test(`${what} leaves nothing when its parent is killed with -9`, async () => {
    const { parent, pid, dir } = await startElsewhere("setInterval(() => {}, 1000);", options);
    assert(await isRunning(pid));
    parent.kill("SIGKILL");
    await parent.status;
    await until(async () => !await isRunning(pid) && !await exists(dir), 3_000);
  });
}

Deno.test("RedisServer that is forgotten does not keep its program alive", async () => {
  const { parent, pid, dir } = await startElsewhere();
  await parent.status;
  await until(async () => !await isRunning(pid) && !await exists(dir), 3_000);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`tools/redis.ts ends with 0 on ${signal} and leaves nothing`, async () => {
    await using folder = await temporary();
    const port = freePort();
    const program = deno(["run", "-A", `${TOOLS}redis.ts`, "--aof", `--port=${port}`], {
      TMPDIR: folder.path,
    });
    assertStringIncludes(await firstLine(program), `redis://127.0.0.1:${port}`);
    program.kill(signal);
    assertEquals((await program.status).code, 0);
    assertEquals(await Array.fromAsync(Deno.readDir(folder.path)), []);
    assertEquals(freePort(port), port);
  });
}

Deno.test("tools/redis_cli.ts is redis-cli at the Redis of REDIS_URL, with its exit code", async () => {
  await using server = await RedisServer.start({ password: "a b" });
  const cli = (url: string, ...args: string[]) =>
    run(Deno.execPath(), ["run", "-A", `${TOOLS}redis_cli.ts`, ...args], {
      env: { REDIS_URL: url },
    });
  const url = server.url.replace(/$/, "/3");
  assertEquals((await cli(url, "SET", "a key", "*")).stdout, "OK");
  assertEquals((await cli(url, "GET", "a key")).stdout, "*");
  assertEquals((await cli(server.url, "EXISTS", "a key")).stdout, "0");
  const away = await cli("redis://127.0.0.1:1", "PING");
  assertEquals([away.ok, /refused/.test(away.stdout + away.stderr)], [false, true]);
  const odd = await cli("nowhere", "PING");
  assertEquals([odd.ok, odd.stderr], [false, 'REDIS_URL is no URL: "nowhere"']);
});

Deno.test("tools/redis_cli.ts goes to the first of several servers, and tells nobody a password", () => {
  const at = (url: string) => connection(url).args.join(" ");
  assertEquals(at("redis://localhost"), "-h localhost -p 6379");
  assertEquals(at("rediss://[::1]:7000/2"), "-h ::1 -p 7000 --tls -n 2");
  assertEquals(at("redis+cluster://10.0.0.1:7001,10.0.0.2:7002"), "-h 10.0.0.1 -p 7001 -c");
  assertEquals(at("redis+sentinel://10.0.0.1:7001,10.0.0.2:7002/main"), "-h 10.0.0.1 -p 7001");
  assertEquals(connection("redis://ann:s%20cret@localhost"), {
    args: ["-h", "localhost", "-p", "6379", "--user", "ann"],
    env: { REDISCLI_AUTH: "s cret" },
  });
});

Deno.test("run() kills what is not done at the deadline", async () => {
  const { ok, stderr } = await run("sleep", ["60"], { deadlineMs: 50 });
  assert(!ok);
  assertEquals(stderr, "sleep: killed after 50 ms");
});

Deno.test("run() tells each line as soon as it is said", async () => {
  await using folder = await temporary();
  const heard: string[] = [];
  const file = `${folder.path}/heard`;
  const script = 'echo begun >&2; while [ ! -e "$0" ]; do sleep 0.02; done; echo one; printf two';
  const result = await run("sh", ["-c", script, file], {
    onLine: (line) => {
      heard.push(line);
      if (line === "begun") Deno.writeTextFileSync(file, ""); // else it would go on to the deadline
    },
  });
  assertEquals(result, { ok: true, stdout: "one\ntwo", stderr: "begun" });
  assertEquals(heard, ["begun", "one", "two"]);
});

Deno.test("findRedis() names the command that helps when there is nothing", async () => {
  await using folder = await temporary();
  const script = `await (await import("${TOOLS}provision.ts")).findRedis();`;
  const { ok, stderr } = await evaluateAlone(script, folder.path, folder.path);
  assert(!ok);
  assertMatch(stderr, /No redis-server was found\.\n +To get one: .*(install|add|pacman)/);
});

Deno.test("findRedis() insists on $REDIS_SERVER", async () => {
  await using folder = await temporary();
  const script = `Deno.env.set("REDIS_SERVER", "/no/such/redis-server");
    await (await import("${TOOLS}provision.ts")).findRedis();`;
  const { stderr } = await evaluateAlone(script, folder.path, folder.path);
  assertStringIncludes(stderr, "/no/such/redis-server does not run");
});

Deno.test("findRedisPy() gives a python that imports redis", async () => {
  const found = await findRedisPy();
  if (!found) return; // no python3 here, and no way to get redis-py
  const { ok, stderr } = await run(found.python, ["-c", "from redis import Redis"], found);
  assert(ok, stderr);
});

Deno.test("RedisServer runs, breaks and ends in Docker through the docker program", async () => {
  const redis = await findRedis();
  if (redis.image) return; // there is only a real Docker here: the other tests have used it
  await using folder = await temporary();
  const bin = await fakeDocker(folder.path);
  const script = `const { RedisServer } = await import("${TOOLS}redis_server.ts");
    const server = await RedisServer.start({ aof: true });
    await server.pause(); await server.resume(); await server.kill(); await server.restart();
    console.log(server.dir); await server.stop();`;
  const { stdout, stderr } = await evaluateAlone(script, folder.path, bin, {
    ...redis.env,
    REAL: redis.command,
    STATE: folder.path,
  });
  assert(stdout, stderr);
  assert(!await exists(stdout));
  const calls = (await Deno.readTextFile(`${folder.path}/calls`)).trim().split("\n");
  const verbs = ["info", "run", "run", "pause", "unpause", "kill", "run", "kill", "rm"];
  assertEquals(calls.map((call) => call.split(" ")[0]), verbs);
  const runs = calls.filter((call) => call.includes("--publish"));
  assertMatch(runs[0]!, /--rm --name \S+ --user \d+:\d+ --publish 127\.0\.0\.1:(\d+):\1 /);
  assertNotEquals(runs[0], runs[1]); // a container's name may linger: each run has its own
});

/** Starts a server in another program, with `options` as they are written, which then does `next` and forgets it. */
async function startElsewhere(next = "", options = "") {
  const script = `const { RedisServer } = await import("${TOOLS}redis_server.ts");
    const { pid, dir } = await RedisServer.start(${options});
    console.log(JSON.stringify({ pid, dir })); ${next}`;
  const parent = deno(["eval", script]);
  const { pid, dir }: RedisServer = JSON.parse(await firstLine(parent));
  return { parent, pid, dir };
}

/** A docker that runs the real server without a container, and writes down what it was told. */
const FAKE_DOCKER = `#!/bin/sh
echo "$*" >> "$STATE/calls"
case "$1 $*" in
  *--version) echo "Redis server v=7.4.0";;
  run*) echo $$ > "$STATE/$4"; for last; do :; done; exec "$REAL" "$last";;
  kill*) kill -"\${3#SIG}" "$(cat "$STATE/$4")";;
  pause*) kill -STOP "$(cat "$STATE/$2")";;
  unpause*) kill -CONT "$(cat "$STATE/$2")";;
esac
`;

/** A folder for `$PATH` with a docker and the few programs that we and it need, but no Redis. */
async function fakeDocker(folder: string): Promise<string> {
  const bin = `${folder}/bin`;
  await Deno.mkdir(bin);
  for (const name of ["sh", "cat", "rm", "sleep"]) {
    await Deno.symlink((await which(name))!, `${bin}/${name}`);
  }
  await Deno.writeTextFile(`${bin}/docker`, FAKE_DOCKER, { mode: 0o755 });
  return bin;
}

/** Runs `script` to its end, with nothing on `$PATH` but `path`, and an empty cache in `home`. */
function evaluateAlone(script: string, home: string, path: string, env = {}) {
  const alone = { PATH: path, HOME: home, XDG_CACHE_HOME: "", REDIS_SERVER: "", NO_COLOR: "1" };
  const args = ["eval", "--no-config", "--ext=ts", script];
  return run(Deno.execPath(), args, { env: { ...alone, ...env }, deadlineMs: 30_000 });
}

function deno(args: string[], env: Record<string, string> = {}): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), { args, env, stdin: "null", stdout: "piped" }).spawn();
}

/** The first line a child prints; what follows is dropped. */
async function firstLine(child: Deno.ChildProcess): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of child.stdout) {
    text += decoder.decode(bytes, { stream: true });
    if (text.includes("\n")) break; // which also closes the pipe
  }
  return text.split("\n")[0]!;
}

/** A folder that is removed at the end of the block. */
async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "tools-test-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** Waits for `condition`, and fails when it has not come true within `deadlineMs`. */
async function until(condition: () => Promise<boolean>, deadlineMs = 5_000): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!await condition()) {
    assert(Date.now() < deadline, `not true within ${deadlineMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether the process runs; a zombie, which only waits for its parent to look, does not. */
async function isRunning(pid: number): Promise<boolean> {
  const state = Deno.build.os === "linux" // where slim containers have no ps
    ? (await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "")).split(") ")[1]
    : (await run("ps", ["-o", "stat=", "-p", `${pid}`])).stdout;
  return !!state && !state.startsWith("Z");
}
