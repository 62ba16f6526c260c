/**
 * Finds a Chromium, or unpacks Debian's into our cache without installing anything: what `$CHROMIUM` or
 * `$PATH` name, else the package with the libraries and typefaces that the system lacks. It takes some
 * 100 MB and ten seconds once. It ends with a browser that has said its version, or with an Error that
 * says how to get one.
 *
 * @module
 */
import { cacheDir, debianRoot, exists, libraryEnv, unpackDebian } from "./debian.ts";
import { run, which } from "./run.ts";

/** A browser that is known to run here. */
export interface Chromium {
  /** The program. */
  command: string;
  /** Environment it needs in addition to ours. */
  env: Record<string, string>;
  /** Flags it needs on this machine. */
  args: string[];
  /** What it says of itself, such as `Chromium 150.0.7871.100`. */
  version: string;
}

const PACKAGES = ["chromium"];
const NAMES = ["chromium", "chromium-browser", "google-chrome"];

let found: Promise<Chromium> | undefined;

/**
 * The browser to use on this machine; looked for once per process.
 *
 * @throws {Error} if there is none and none can be provided
 */
export function findChromium(): Promise<Chromium> {
  return found ??= search();
}

async function search(): Promise<Chromium> {
  const wanted = Deno.env.get("CHROMIUM") ?? await which(...NAMES);
  if (wanted) return await probe(wanted, {});
  const root = await debianRoot(PACKAGES);
  if (!await exists(root)) {
    if (!await which("apt-get")) {
      throw new Error("No Chromium was found. Install one, or name it in $CHROMIUM");
    }
    await unpackDebian(PACKAGES);
  }
  return await probe(`${root}/usr/lib/chromium/chromium`, await environment(root));
}

/** Where the unpacked browser finds its libraries and typefaces. */
async function environment(root: string): Promise<Record<string, string>> {
  const libraries = await libraryEnv(root);
  // A library of PulseAudio's lies in a folder of its own, which only the installed one would know.
  const [first] = libraries["LD_LIBRARY_PATH"]!.split(":");
  const config = `${root}/fonts.conf`;
  await Deno.writeTextFile(
    config,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>/usr/share/fonts</dir><dir>${root}/usr/share/fonts</dir>
<cachedir>${cacheDir()}/fontconfig</cachedir></fontconfig>\n`,
  );
  return {
    LD_LIBRARY_PATH: `${libraries["LD_LIBRARY_PATH"]}:${first}/pulseaudio`,
    FONTCONFIG_FILE: config,
  };
}

async function probe(command: string, env: Record<string, string>): Promise<Chromium> {
  const result = await run(command, ["--version"], { env });
  if (!result.ok) throw new Error(`${command} does not run: ${result.stderr.slice(-500)}`);
  // Its sandbox is not for root, and a container often has no memory to share.
  const args = [...(Deno.build.os !== "windows" && Deno.uid() === 0 ? ["--no-sandbox"] : [])];
  return {
    command,
    env,
    args: [...args, "--disable-dev-shm-usage"],
    version: result.stdout.trim(),
  };
}
