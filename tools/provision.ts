/**
 * Finds a real redis-server, or provides one without installing anything where that is possible:
 * what `$REDIS_SERVER` or `$PATH` name, what lies in our cache, Debian packages that are only
 * unpacked, Homebrew, Docker. It ends with a server that has said its version, or with one Error
 * that says what was tried and names the command that helps on this system. Every subprocess has
 * a deadline. Slow steps are announced on standard error.
 *
 * @module
 */

import { debianRoot, exists, libraryEnv, osRelease, unpackDebian } from "./debian.ts";
import { isExecutable, run, say, which } from "./run.ts";

export { unpackDebian } from "./debian.ts";

/** A redis-server that is known to run here. */
export interface RedisBinary {
  /** The program to start: redis-server, or docker. */
  command: string;
  /** Environment it needs in addition to ours. */
  env: Record<string, string>;
  /** The version it reports, such as `7.0.15`. */
  version: string;
  /** Where it came from. */
  source: "REDIS_SERVER" | "PATH" | "debian" | "homebrew" | "docker";
  /** Path of redis-cli, if there is one; it needs the same `env`. */
  cli?: string;
  /** The Docker image the server is in, if `command` is docker. */
  image?: string;
  /** Its program in that image. */
  program?: string;
}

/** What each engine is called by those that provide it. */
const ENGINES = {
  redis: {
    programs: ["redis-server", "valkey-server"], // either will do
    packages: ["redis-server", "redis-tools"],
    formula: "redis",
    image: "redis:7-alpine",
  },
  valkey: {
    programs: ["valkey-server"],
    packages: ["valkey-server", "valkey-tools"], // Debian 12 has them in its backports
    formula: "valkey",
    image: "valkey/valkey:8-alpine",
  },
} as const;
type Engine = typeof ENGINES[keyof typeof ENGINES];
/** What the library needs: LMOVE and ZADD GT are 6.2. */
const OLDEST = [6, 2] as const;

let found: Promise<RedisBinary> | undefined;

/**
 * The redis-server to use on this machine; looked for once per process. `$REDIS_ENGINE` says which
 * kind: `redis` (the default), or `valkey`.
 *
 * @throws {Error} if there is none and none can be provided
 */
export function findRedis(): Promise<RedisBinary> {
  return found ??= search();
}

async function search(): Promise<RedisBinary> {
  const wanted = Deno.env.get("REDIS_SERVER");
  if (wanted) return await probe(wanted, "REDIS_SERVER"); // asked for by name: no second choice
  const name = Deno.env.get("REDIS_ENGINE") || "redis";
  if (!Object.hasOwn(ENGINES, name)) {
    throw new Error(`REDIS_ENGINE must be ${Object.keys(ENGINES).join(" or ")}, but is "${name}"`);
  }
  const engine = ENGINES[name as keyof typeof ENGINES];
  const tried: string[] = [];
  for (const attempt of [fromPath, fromDebian, fromHomebrew, fromDocker]) {
    try {
      const binary = await attempt(engine);
      if (binary) return binary;
    } catch (error) {
      tried.push(`\n  tried: ${(error as Error).message}`);
    }
  }
  const wish = `No ${engine.programs[0]} was found.`;
  throw new Error(`${wish}${tried.join("")}\n  To get one: ${await advice()}`);
}

async function fromPath({ programs }: Engine): Promise<RedisBinary | undefined> {
  const path = await which(...programs);
  return path ? await probe(path, "PATH") : undefined;
}

/** Unpacks Debian's packages, or uses those that were unpacked before. */
async function fromDebian({ programs, packages }: Engine): Promise<RedisBinary | undefined> {
  const root = await debianRoot([...packages]);
  const program = `${root}/usr/bin/${programs[0]}`;
  if (await exists(root)) {
    try {
      return await probe(program, "debian", await libraryEnv(root));
    } catch { // the system below it has changed: a library is gone, say
      await Deno.remove(root, { recursive: true }).catch(() => {});
    }
  }
  if (!await which("apt-get")) return undefined;
  await unpackDebian([...packages], { backports: true });
  return await probe(program, "debian", await libraryEnv(root));
}

async function fromHomebrew({ programs, formula }: Engine): Promise<RedisBinary | undefined> {
  if (!await which("brew")) return undefined;
  say(`installing ${formula} with Homebrew (it is not started as a service)`);
  const install = await run("brew", ["install", formula], { deadlineMs: 600_000 });
  if (!install.ok) throw new Error(`brew install ${formula}: ${install.stderr.slice(-500)}`);
  const { stdout: prefix } = await run("brew", ["--prefix", formula], { deadlineMs: 30_000 });
  return await probe(`${prefix}/bin/${programs[0]}`, "homebrew");
}

async function fromDocker({ programs, image }: Engine): Promise<RedisBinary | undefined> {
  const docker = await which("docker");
  if (!docker) return undefined;
  const info = await run(docker, ["info", "--format", "{{.ServerVersion}}"]);
  if (!info.ok) throw new Error(`docker info: ${info.stderr.split("\n").at(-1)}`);
  say(`asking Docker for the image ${image}`);
  const version = ["run", "--rm", image, programs[0], "--version"];
  const result = await run(docker, version, { deadlineMs: 300_000 }); // it may have to pull
  if (!result.ok) throw new Error(`docker run ${image}: ${result.stderr.slice(-500)}`);
  return {
    command: docker,
    env: {},
    version: parseVersion(result.stdout, docker),
    source: "docker",
    image,
    program: programs[0],
  };
}

/** Makes sure that the server at `command` runs and is new enough, and finds its redis-cli. */
async function probe(
  command: string,
  source: RedisBinary["source"],
  env: Record<string, string> = {},
): Promise<RedisBinary> {
  const result = await run(command, ["--version"], { env });
  if (!result.ok) throw new Error(`${command} does not run: ${result.stderr}`);
  const version = parseVersion(result.stdout, command);
  const beside = command.replace(/(redis|valkey)-server$/, "$1-cli");
  const cli = beside !== command && await isExecutable(beside)
    ? beside
    : await which("redis-cli", "valkey-cli");
  return { command, env, version, source, cli };
}

function parseVersion(text: string, command: string): string {
  const version = /\bv=(\d+\.\d+\S*)/.exec(text)?.[1];
  if (!version) throw new Error(`${command} is not a redis-server: it says ${text.slice(0, 100)}`);
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new Error(`${command} is ${version}, older than ${OLDEST.join(".")}`);
  }
  return version;
}

/** The one command that provides a redis-server on this system. */
async function advice(): Promise<string> {
  if (Deno.build.os === "darwin") return "brew install redis";
  if (Deno.build.os === "windows") {
    return "wsl --install, and work inside it (or run Redis in Docker and set REDIS_URL)";
  }
  const { ID = "", ID_LIKE = "" } = await osRelease();
  const system = ` ${ID} ${ID_LIKE} `;
  if (/ (debian|ubuntu) /.test(system)) return "sudo apt-get install redis-server";
  if (/ (fedora|rhel|centos) /.test(system)) return "sudo dnf install valkey";
  if (/ alpine /.test(system)) return "sudo apk add redis";
  if (/ arch /.test(system)) return "sudo pacman -S valkey";
  return "install redis or valkey with the package manager, or start Docker";
}

/** A python3 that can `import redis`. */
export interface RedisPy {
  /** The program to start. */
  python: string;
  /** Environment it needs in addition to ours. */
  env: Record<string, string>;
}

/**
 * A python3 that can `import redis`, as it is or with Debian's python3-redis unpacked; undefined
 * if there is none (tests that speak to redis-py are then skipped).
 */
export async function findRedisPy(): Promise<RedisPy | undefined> {
  // A pyenv python3 may come first in $PATH and lack what the system's has.
  const pythons = ["python3", "/usr/bin/python3"];
  const asItIs = await firstThatImports(pythons, {});
  if (asItIs || !await which("apt-get")) return asItIs;
  const root = await unpackDebian(["python3-redis"]).catch((error: Error) => say(error.message));
  if (!root) return undefined;
  const env = { ...await libraryEnv(root), PYTHONPATH: `${root}/usr/lib/python3/dist-packages` };
  return await firstThatImports([...pythons, `${root}/usr/bin/python3`], env);
}

async function firstThatImports(
  pythons: string[],
  env: Record<string, string>,
): Promise<RedisPy | undefined> {
  // Naming the class matters: run beside our own folder redis/, a bare import finds that one.
  const args = ["-c", "from redis import Redis"];
  for (const python of pythons) {
    if ((await run(python, args, { env })).ok) return { python, env };
  }
  return undefined;
}
