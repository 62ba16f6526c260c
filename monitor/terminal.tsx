/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
/**
 * The live screen in a terminal: takes the alternate screen and the keys, and gives both back however it
 * ends. By `q`, Ctrl-C, a signal, or an error, which is then printed on the screen that was there before.
 *
 * @module
 */
import process from "node:process";
import { render } from "ink";
import { EXIT } from "./cli_context.ts";
import type { Asked } from "./cli_flags.ts";
import { Link } from "./link.ts";
import { App } from "./terminal_view.tsx";
import { Screen } from "./terminal_screen.ts";

/** What ends it, and its exit code: 128 and the signal's number. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** The primary screen, a cursor that is seen, no bracketed paste. */
const RESTORE = "\x1b[?1049l\x1b[?25h\x1b[?2004l";

/**
 * Shows the live screen until it is left; gives the exit code.
 *
 * @throws What ended it, when the terminal is as it was before.
 */
export async function runDashboard(
  { url, queues, refreshMs, readOnly }: Pick<Asked, "url" | "queues" | "refreshMs" | "readOnly">,
): Promise<number> {
  await using link = new Link({ url });
  let code: number = EXIT.ok;
  let failure: unknown;
  let leave = () => {};
  const screen = new Screen({ link, queues, refreshMs, readOnly, onExit: () => leave() });
  const fail = (error: unknown) => {
    failure ??= error;
    leave();
  };
  const onSignal = Object.entries(SIGNALS).map(([signal, number]) => {
    const hear = () => {
      code = number;
      leave();
    };
    return [signal, hear] as const;
  });
  const restore = () => {
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    process.stdout.write(RESTORE);
  };
  const app = render(<App screen={screen} address={link.address} />, {
    exitOnCtrlC: false, // we are told, and end in order
    alternateScreen: true,
    interactive: true, // also where a CI variable is set: it was asked for in a terminal
    patchConsole: true,
  });
  leave = () => app.unmount();
  process.on("exit", restore);
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  for (const [signal, hear] of onSignal) process.on(signal, hear);
  try {
    const reading = screen.run().catch(fail);
    await app.waitUntilExit();
    screen.close();
    await reading;
  } catch (error) {
    fail(error);
  } finally {
    screen.close();
    process.off("exit", restore);
    process.off("uncaughtException", fail);
    process.off("unhandledRejection", fail);
    for (const [signal, hear] of onSignal) process.off(signal, hear);
    restore();
  }
  if (failure !== undefined) throw failure;
  return code;
}
