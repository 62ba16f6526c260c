/**
 * `deno task watch`: what is going on in a Redis, as a picture in a browser, beside a step that runs in
 * other terminals. For the projector and never for production. It ends with Ctrl-C (0), because the
 * Redis is on another machine or is not there (1), or because it was asked wrongly (2).
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { exampleFiles, listSteps, listTutorials, readExample, type Step } from "./example.ts";
import { listenForInterrupts } from "./example_stage.ts";
import { type Declared, declaredIn } from "./watch/declared.ts";
import { openWatch } from "./watch/server.ts";

const HELP = `Shows what is going on in Redis, in a browser: lists, sorted sets, streams, pub/sub,
workers, and the commands that do it.

  deno task watch                  whatever any step of the course uses
  deno task watch 07               what step 07 uses
  deno task watch --queue mails    a queue, list or stream of yours; --channel for pub/sub

  --url redis://…   which Redis (default: REDIS_URL, or 127.0.0.1:6379)
  --port N          where the page is (default: 8090, or any if that is taken)
  --allow-remote    also a Redis on another machine, which MONITOR slows down by half

In \`deno task ex\` the page is built in: it prints its address.`;

async function main(): Promise<number> {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["help", "allow-remote"],
    string: ["url", "port", "queue", "channel", "_"],
    collect: ["queue", "channel"],
    unknown: (arg: string) => !arg.startsWith("-") || unknown.push(arg) < 0,
  });
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const port = args.port === undefined ? undefined : Number(args.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port < 65536)) {
    console.error(`Not a port: ${args.port}`);
    return 2;
  }
  const [wanted, ...more] = args._.map(String);
  const steps = [...await listSteps(), ...await listTutorials()];
  const step = steps.find(({ number }) => number === wanted?.padStart(2, "0"));
  if (unknown.length + more.length > 0 || (wanted !== undefined && !step)) {
    console.error(`Not understood: ${[...unknown, ...more, wanted].join(" ").trim()}\n\n${HELP}`);
    return 2;
  }
  const own = { names: args.queue as string[], channels: args.channel as string[] };
  const isOwn = own.names.length + own.channels.length > 0;
  const declared = isOwn ? own : await declaredBy(step ? [step] : steps);
  const url = args.url ?? Deno.env.get("REDIS_URL") ?? "redis://127.0.0.1:6379";
  return await serve(url, {
    declared,
    port,
    title: step?.title,
    allowRemote: args["allow-remote"],
  });
}

/** What the programs of these steps use. */
async function declaredBy(steps: Step[]): Promise<Declared> {
  const examples = await Promise.all(
    exampleFiles(steps).map((path) => readExample(path).catch(() => undefined)),
  );
  return declaredIn(examples.flatMap((example) => example?.code ?? []));
}

async function serve(
  url: string,
  options: Omit<Parameters<typeof openWatch>[0], "url">,
): Promise<number> {
  const watch = openWatch({ url, ...options });
  try {
    (await connect({ url })).destroy(); // says what is wrong, if something is
    console.log(`Watch:       ${watch.url}`);
    console.log("To stop it:  Ctrl-C");
    using interrupts = listenForInterrupts();
    await new Promise((resolve) => interrupts.signal.addEventListener("abort", resolve));
    return 0;
  } finally {
    await watch.close();
  }
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
