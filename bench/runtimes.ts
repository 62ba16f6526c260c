/**
 * Where peers run: in this Deno, and in Node where there are `node` and `npm`. Node gets a folder of
 * its own outside of the repository, with a copy of the peers and with the versions that deno.json
 * names.
 *
 * @module
 */
import { cacheDir } from "../tools/debian.ts";
import peers from "./deno.json" with { type: "json" };
import own from "../deno.json" with { type: "json" };

/** How to run `peer_host.ts`. */
export interface Runtime {
  name: string;
  command: string[];
  cwd: string;
}

const HERE = import.meta.dirname!;
/** tsx, since Node learnt to read TypeScript only lately. */
const NODE_PACKAGES = { tsx: "^4" };
const INSTALL_MS = 180_000;

/**
 * This Deno; quiet, as the task that starts us: it takes the checkout's deno.json for a package that
 * we link, and warns of its `links` each time (denoland/deno#35999).
 */
export function denoRuntime(): Runtime {
  const flags = ["-q", "-A", "--no-check", "--v8-flags=--expose-gc"];
  return {
    name: `Deno ${Deno.version.deno}`,
    command: [Deno.execPath(), "run", ...flags, "peer_host.ts"],
    cwd: HERE,
  };
}

/** Node with the packages of these peers; throws with a reason when it cannot be had. */
export async function nodeRuntime(
  peers: string[],
  packages: string[],
): Promise<Runtime> {
  const version = await output("node", ["--version"]);
  const dir = `${cacheDir()}/bench-node`;
  await Deno.mkdir(`${dir}/peers`, { recursive: true });
  const files = [
    "peer.ts",
    "peer_host.ts",
    ...peers.map((peer) => `peers/${peer}.ts`),
  ];
  for (const file of files) {
    await Deno.copyFile(`${HERE}/${file}`, `${dir}/${file}`);
  }
  const versions = packages.map((name) => [name, versionOf(name)]);
  const dependencies = { ...NODE_PACKAGES, ...Object.fromEntries(versions) };
  const manifest = { private: true, type: "module", dependencies };
  await Deno.writeTextFile(
    `${dir}/package.json`,
    JSON.stringify(manifest, null, 2),
  );
  const quiet = [
    "--prefer-offline",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
  ];
  await output("npm", ["install", ...quiet], dir);
  return {
    name: `Node ${version.trim().slice(1)}`,
    command: ["node", "--expose-gc", "--import", "tsx", "peer_host.ts"],
    cwd: dir,
  };
}

/** The version that deno.json asks for: `npm:bullmq@^6.7` → `^6.7`. */
function versionOf(name: string): string {
  const { [name]: specifier } = { ...own.imports, ...peers.imports } as Record<
    string,
    string
  >;
  const version = specifier?.match(/^npm:.+@(.+)$/)?.[1];
  if (!version) {
    throw new Error(`deno.json names no npm version of ${name}: ${specifier}`);
  }
  return version;
}

async function output(
  command: string,
  args: string[],
  cwd?: string,
): Promise<string> {
  const signal = AbortSignal.timeout(INSTALL_MS);
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd,
    signal,
  })
    .output();
  const text = new TextDecoder();
  if (!success) {
    throw new Error(
      `${command} ${args.join(" ")}: ${text.decode(stderr).trim()}`,
    );
  }
  return text.decode(stdout);
}
