/**
 * The stage, `deno task ex` in a real terminal: its keys, what they really do to processes and to Redis,
 * and the terminal afterwards.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ROOT } from "../tools/example.ts";
import { kill } from "../tools/run.ts";
import { Terminal } from "../tools/terminal.ts";
import { eventually, limit } from "./support.ts";

const READY = "q quit";

/** Defines a test with a step on the stage; it is over when it was quit. */
function stageTest(
  title: string,
  command: string,
  play: (terminal: Terminal) => Promise<void>,
): void {
  Deno.test(title, async () => {
    await using terminal = await Terminal.open({ columns: 130, rows: 90, env: { REDIS_URL: "" } });
    await limit(
      (async () => {
        await terminal.run(
          `cd ${ROOT.pathname} && ${Deno.execPath()} run -A tools/ex.ts ${command}`,
        );
        await terminal.see(READY);
        await play(terminal);
      })(),
      title,
      60_000,
    );
  });
}

/** The process ids that the stage named behind a word, the last one last. */
function pids(screen: string): number[] {
  return [...screen.matchAll(/\(pid (\d+)\)/g)].map(([, pid]) => Number(pid));
}

/** `T` is stopped, `Z` dead and not yet buried; undefined is gone. */
async function stateOf(pid: number): Promise<string | undefined> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => undefined);
  return stat && /\) (\S)/.exec(stat)?.[1];
}

stageTest(
  "the stage shows what waits before a key and after it",
  "02 --blocking",
  async (terminal) => {
    await terminal.see("blocking has ended", 30_000); // the story of the step is over
    const screen = await terminal.see("Nobody is left on the stage");
    assertMatch(screen, /producer {4}│ \[producer\] 20 tasks/);
    assertMatch(screen, /┌ before[^\n]*\n│ nothing is in Redis/);
    await terminal.press("p");
    await terminal.see("producer 2 has ended", 20_000);
    const after = await terminal.see(/┌ after[^\n]*\n│ LIST {4}task_queue .*─► next/);
    assertStringIncludes(after, "send_email_to_user@example.com");
    await terminal.press("w");
    await terminal.see(/blocking 2 {2}│ \[worker\] Processing: label {2}order 124/);
    await terminal.press("a");
    await terminal.see("It is played again when all have gone");
    await terminal.press("q");
    const end = await terminal.see("[stage]");
    assertMatch(end, /\[score\] {2}messages 30 {2}commands \d+/);
    assertStringIncludes(end, "producers 2  workers 2  kill -9 0");
    await terminal.see(/\[stage\][^]*ready>\s*$/); // the shell is back, and echoes again
    await terminal.run("echo it is $((40 + 2))");
    await terminal.see("it is 42");
  },
);

stageTest(
  "the stage plays a step again when all have gone, with the flags that were given",
  "07 --lossy --count 4",
  async (terminal) => {
    await terminal.see("Nobody is left on the stage", 30_000);
    await terminal.press("a");
    await terminal.see(/all of it again[^]*at most once … kill -9[^]*Nobody is left/, 30_000);
    await terminal.press("q");
    const end = await terminal.see("[stage]");
    assertStringIncludes(end, "[score]  messages 6"); // 3 of 4, twice
    assertStringIncludes(end, "producers 2  workers 2");
  },
);

stageTest(
  "the stage kills, freezes and stops real processes, and Redis",
  "02 --blocking",
  async (terminal) => {
    await terminal.press("w");
    await terminal.see(/blocking 2 {2}│ \[worker\] waiting/);

    await terminal.press("f");
    const [frozen] = pids(await terminal.see("SIGSTOP: frozen, blocking 2"));
    await eventually(async () => assertEquals(await stateOf(frozen!), "T"));
    await terminal.press("f");
    await terminal.see("SIGCONT: goes on, blocking 2");
    await eventually(async () => assert(await stateOf(frozen!) !== "T"));

    await terminal.press("k");
    const killed = pids(await terminal.see("kill -9 blocking 2")).at(-1)!;
    assertEquals(killed, frozen);
    await terminal.see("blocking 2 ended by SIGKILL");
    assert(!kill(killed, "SIGCONT"), "the process is there");

    await terminal.press("r");
    await terminal.see("Redis is back", 20_000);
    await terminal.press("w");
    await terminal.see(/blocking 3 {2}│ \[worker\] waiting/);
    await terminal.press("t");
    await terminal.see(/blocking 3 ended by SIGTERM/);
    await terminal.press("C-c");
    const end = await terminal.see("[stage]");
    assertMatch(end, /kill -9 1 {2}of Redis 1 {2}SIGTERM 1 {2}frozen 1/);
  },
);

stageTest(
  "what is in Redis survives when the stage kills Redis",
  "02 --blocking",
  async (terminal) => {
    await terminal.see("Nobody is left on the stage", 30_000);
    await terminal.press("p");
    await terminal.see("producer 2 has ended", 20_000);
    await terminal.press("r");
    await terminal.see("Redis is back", 20_000);
    const screen = await terminal.see(/Redis is back[^\n]*\n┌ after[^\n]*\n│ LIST/);
    const [, before, after] =
      /┌ before[^\n]*\n│ (LIST[^\n]*)\n• kill -9 to Redis(?:[^┌]*)┌ after[^\n]*\n│ (LIST[^\n]*)/
        .exec(screen)!;
    assertEquals(after, before);
    await terminal.press("x");
    await terminal.see('"x" does nothing');
    await terminal.press("q");
    await terminal.see("[stage]");
  },
);
