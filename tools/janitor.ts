/**
 * Cleans up after a server, however its parent ends. The janitor is a shell in a session of its
 * own that reads a pipe from us. When the pipe closes, because we closed it or because we are dead
 * (Ctrl-C, a crash, kill -9: the kernel closes it in each case), it kills the server if that still
 * runs and removes its folder. Then it ends; it has no other way out.
 *
 * @module
 */

/** $1: the folder, $2: docker or nothing. Each line names the server now: a pid or a container. */
const SCRIPT = `
server=
while read -r line; do server=$line; done
if [ -n "$2" ]; then
  "$2" rm -f "$server"
elif [ -n "$server" ]; then
  # The pid may be another's by now: only a process that was started in our folder is killed.
  if [ -r "/proc/$server/cmdline" ]; then tr '\\0' ' ' < "/proc/$server/cmdline"
  else ps -o command= -p "$server"
  fi | grep -qF -- "$1" && kill -KILL "-$server" # its whole group
fi
# A dying server may still write a file behind rm's back.
for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- "$1" && break; sleep 0.1; done
`;

/** Watches over one server folder until it is {@linkcode Janitor.dismiss}ed or we are dead. */
export class Janitor {
  readonly #shell: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;

  /** Starts watching over `dir`; `docker` is the docker program if servers are containers. */
  constructor(dir: string, docker = "") {
    this.#shell = new Deno.Command("sh", {
      args: ["-c", SCRIPT, "redis-patterns-janitor", dir, docker],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    this.#shell.unref(); // a forgotten server must not keep the program from ending
    this.#orders = this.#shell.stdin.getWriter();
  }

  /** Names the server that is to be killed: a pid, or a container with docker. */
  async watch(server: number | string): Promise<void> {
    await this.#orders.write(new TextEncoder().encode(`${server}\n`));
  }

  /** Has everything cleaned up now, and waits until it is. */
  async dismiss(): Promise<void> {
    this.#shell.ref();
    await this.#orders.close().catch(() => {}); // somebody killed the shell
    await this.#shell.status;
  }
}
