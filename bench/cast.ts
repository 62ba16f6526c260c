/**
 * The peers of a scenario, each started in a process of its own.
 *
 * @module
 */
import { median, type Result } from "./measure.ts";
import { PeerProcess } from "./peer_process.ts";
import { nodeRuntime, type Runtime } from "./runtimes.ts";
import type { Bench } from "./scenario.ts";

/** Which peer runs where; without a runtime it is left out. */
export type Role = [module: string, runtime: Runtime | undefined];

/** Node with these peers, or undefined and a word why. */
export async function nodeOrNone(
  peers: string[],
  note: Bench["note"],
): Promise<Runtime | undefined> {
  try {
    return await nodeRuntime(peers, ["bullmq", "ioredis", "bee-queue"]);
  } catch (error) {
    note(`Node is left out: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** Starts them; they end with the stack. */
export async function startPeers(
  roles: Role[],
  { url, note }: Bench,
  stack: AsyncDisposableStack,
): Promise<PeerProcess[]> {
  const peers: PeerProcess[] = [];
  for (const [module, runtime] of roles) {
    if (!runtime) continue;
    const name = `redis-patterns-bench-${module}-${runtime.name.split(" ")[0]}`;
    note(`Starting ${module} in ${runtime.name}`);
    peers.push(
      stack.use(await PeerProcess.start(runtime, { module, url, name })),
    );
  }
  return peers;
}

/** The fastest among what matches: others count where they are at their best. */
export function best(results: Result[], peer: RegExp, way: RegExp): Result {
  const matching = results.filter((result) => peer.test(result.peer) && way.test(result.way));
  return matching.reduce((a, b) => median(b.rates) > median(a.rates) ? b : a);
}

/** A verdict that says whether a goal is met. */
export function goal(text: string, met: boolean): string {
  return `${met ? "met    " : "NOT met"}  ${text}`;
}
