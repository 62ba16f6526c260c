/**
 * Debian and Ubuntu packages without installing them: resolved and fetched by apt, unpacked by
 * dpkg into a folder of our own cache. Nothing on the system changes, no root is needed, no daemon
 * starts. Ends with a folder that has everything in it, or with an Error that has apt's words in
 * it; a half-unpacked folder is never seen, because it gets its name only when it is complete.
 *
 * @module
 */

import { run, type RunResult, say } from "./run.ts";

/** Where everything that was provisioned is kept. It may be deleted at any time. */
export function cacheDir(): string {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? ".";
  const caches = Deno.build.os === "darwin" ? `${home}/Library/Caches` : `${home}/.cache`;
  return `${Deno.env.get("XDG_CACHE_HOME") || caches}/redis-patterns`;
}

/** Fields of `/etc/os-release` (`ID`, `ID_LIKE`, `VERSION_ID`, …); empty where there is none. */
export async function osRelease(): Promise<Record<string, string>> {
  const text = await Deno.readTextFile("/etc/os-release").catch(() => "");
  const lines = text.matchAll(/^(\w+)=["']?(.*?)["']?$/gm);
  return Object.fromEntries(Array.from(lines, ([, name, value]) => [name, value]));
}

/** The folder `packages` are unpacked in, or will be: one per release, architecture and list. */
export async function debianRoot(packages: string[]): Promise<string> {
  const { ID = Deno.build.os, VERSION_ID = "" } = await osRelease();
  return `${cacheDir()}/${ID}${VERSION_ID}-${Deno.build.arch}/${packages.join("+")}`;
}

/** Where packages come from. */
export interface DebianSource {
  /** Also from the release's backports, where the system's own lists lack them. @default {false} */
  backports?: boolean;
}

/**
 * Unpacks `packages`, with those of their dependencies the system lacks, and returns the folder
 * that then holds their `usr/bin`, `usr/lib`, …. An earlier unpack is used as it is.
 *
 * @throws {Error} where there is no apt, or it cannot provide the packages
 */
export async function unpackDebian(
  packages: string[],
  { backports = false }: DebianSource = {},
): Promise<string> {
  const root = await debianRoot(packages);
  if (await exists(root)) return root;
  await Deno.mkdir(cacheDir(), { recursive: true });
  const work = await Deno.makeTempDir({ dir: cacheDir(), prefix: "unpacking-" });
  try {
    say(`unpacking Debian packages into ${root} (${packages.join(", ")}; nothing is installed)`);
    await download(packages, work, backports);
    await unpack(work, `${work}/root`);
    await settle(`${work}/root`, root);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return root;
}

/** Environment that lets programs in `root` find the libraries that were unpacked with them. */
export async function libraryEnv(root: string): Promise<Record<string, string>> {
  const found: string[] = [];
  for (const lib of [`${root}/usr/lib`, `${root}/lib`]) {
    for (const name of await list(lib)) {
      if (name.includes("-linux-")) found.push(`${lib}/${name}`); // the multiarch folder
    }
    found.push(lib);
  }
  const inherited = Deno.env.get("LD_LIBRARY_PATH");
  return { LD_LIBRARY_PATH: [...found, ...(inherited ? [inherited] : [])].join(":") };
}

/** Whether there is something at `path`. */
export function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

/** Puts the package files into `work`: by the system's package lists, else by fresh ones. */
async function download(packages: string[], work: string, backports: boolean): Promise<void> {
  // Running as root apt would drop to a user who may not write below our home.
  const options = ["-q", "-o", "APT::Sandbox::User="];
  const first = await obtain(packages, work, options);
  if (first.ok) return;
  // No lists (as in container images), or lists older than the mirror. Fresh ones go beside the
  // packages rather than into /var, so this too works without root and changes no system.
  await Deno.mkdir(`${work}/lists/partial`, { recursive: true });
  await Deno.mkdir(`${work}/cache/archives/partial`, { recursive: true });
  options.push("-o", `Dir::State::Lists=${work}/lists`, "-o", `Dir::Cache=${work}/cache`);
  if (backports) options.push(...await backportsOf(work));
  const update = await apt(["update", ...options], work);
  const second = update.ok ? await obtain(packages, work, options) : update;
  if (!second.ok) throw new Error(`apt-get cannot provide ${packages.join(", ")}: ${why(second)}`);
}

/** Options for apt to know the release's backports as well, from where the system has its packages. */
async function backportsOf(work: string): Promise<string[]> {
  const { VERSION_CODENAME: release } = await osRelease();
  const format = ["indextargets", "--format", "$(SITE) $(RELEASE)"];
  const { stdout } = await apt(format, work);
  const site = stdout.split("\n").map((line) => line.split(" "))
    .find(([, suite]) => suite === release)?.[0];
  if (!release || !site) return []; // no Debian, or no lists: what was asked for is not found then
  const signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
  const suites = [release, `${release}-backports`];
  const list = suites.map((suite) => `deb ${signed} ${site} ${suite} main\n`).join("");
  await Deno.writeTextFile(`${work}/sources.list`, list);
  return [
    ...["-o", `Dir::Etc::SourceList=${work}/sources.list`, "-o", "Dir::Etc::SourceParts=/dev/null"],
    ...["-o", `APT::Default-Release=${release}-backports`],
  ];
}

/** Downloads `packages` and what they need that is not installed. */
async function obtain(packages: string[], work: string, options: string[]): Promise<RunResult> {
  const simulate = ["install", "--simulate", "--no-install-recommends", ...options, ...packages];
  const plan = await apt(simulate, work);
  if (!plan.ok) return plan;
  // "Inst redis-tools (5:7.0.15-1 Debian:12/stable [amd64])"; only what apt would install.
  const missing = Array.from(plan.stdout.matchAll(/^Inst (\S+) /gm), ([, name]) => name!);
  if (missing.length === 0) {
    return { ok: false, stdout: "", stderr: "already installed, but it does not work" };
  }
  return await apt(["download", ...options, ...missing], work);
}

function apt(args: string[], cwd: string): Promise<RunResult> {
  return run("apt-get", args, { cwd, env: { LC_ALL: "C" }, deadlineMs: 180_000 });
}

async function unpack(work: string, into: string): Promise<void> {
  for (const name of await list(work)) {
    if (!name.endsWith(".deb")) continue;
    const result = await run("dpkg", ["-x", `${work}/${name}`, into], { deadlineMs: 60_000 });
    if (!result.ok) throw new Error(`dpkg cannot unpack ${name}: ${why(result)}`);
  }
}

/** Gives the finished folder its name; if another run was faster, its folder is as good. */
async function settle(from: string, to: string): Promise<void> {
  await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
  try {
    await Deno.rename(from, to);
  } catch (error) {
    if (!await exists(to)) throw error;
  }
}

async function list(folder: string): Promise<string[]> {
  const names: string[] = [];
  if (await exists(folder)) {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  }
  return names.sort();
}

/** The errors among what a program said, else the end of it. */
function why({ stdout, stderr }: RunResult): string {
  const lines = (stderr || stdout).split("\n");
  const errors = lines.filter((line) => line.startsWith("E: "));
  return (errors.length > 0 ? errors : lines.slice(-3)).join(" ");
}
