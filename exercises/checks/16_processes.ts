import { keepRunning } from "#ex/16_processes.ts";
import { exercise, must, until, within } from "./room.ts";

/** Real processes: each crashes at once, but for the last. */
class Machine {
  readonly starts: { at: number; endedAt: number }[] = [];
  readonly #crashes: number;

  constructor(crashes: number) {
    this.#crashes = crashes;
  }

  start = async (): Promise<{ code: number }> => {
    const at = performance.now();
    const code = this.starts.length < this.#crashes ? 1 : 0;
    const start = { at, endedAt: Infinity };
    this.starts.push(start);
    const args = ["eval", "--no-config", `Deno.exit(${code})`];
    const status = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).spawn().status;
    start.endedAt = performance.now();
    return status;
  };
}

exercise("16", async () => {
  const machine = new Machine(4);
  await keepRunning(machine.start, new AbortController().signal);
  const waits = machine.starts.slice(1).map(({ at }, i) => at - machine.starts[i]!.endedAt);
  for (const [i, wait] of waits.entries()) {
    const asked = 50 * 2 ** i;
    const times = i === 0 ? "the first crash" : `${i + 1} crashes in a row`;
    must(
      wait >= 0.9 * asked,
      `After ${times} the process was started again ${Math.round(wait)} ms later, not ${asked}`,
    );
  }
  const starts = machine.starts.length;
  must(starts === 5, `It crashed 4 times and then ended well, and was started ${starts} times`);

  // Told to end while it waits for the start after the fourth crash, which is 400 ms.
  const stop = new AbortController();
  const crashing = new Machine(Infinity);
  const running = keepRunning(crashing.start, stop.signal);
  running.catch(() => {});
  const crashed = () => (crashing.starts[3]?.endedAt ?? Infinity) < Infinity;
  await until(crashed, "It crashed, and was not started a fourth time", 5_000);
  stop.abort();
  const late = "It was told to end while it waited for the next start, and waited on";
  await within(running, late, 250).catch((error: Error) => {
    must(error.name !== "AbortError", "It was told to end, and threw AbortError instead of ending");
    throw error;
  });
}, { limitMs: 15_000 });
