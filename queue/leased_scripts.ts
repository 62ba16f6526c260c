/**
 * The transitions of a queue with leases: one Lua script each, a set of them for each kind of queue. They
 * are in files by who runs them:
 *
 * ```
 * enqueue_script.ts     producers      (nowhere) → ready, delayed
 * claim_scripts.ts      consumers      ready, lapsed → leased; delayed → ready; leases that ran out
 * settle_scripts.ts     consumers      leased → gone, ready, delayed, dead; leases lengthened and removed
 * operator_scripts.ts   operators      any → gone; dead → ready; looking
 * ```
 *
 * What they have in common leased_script.ts tells.
 *
 * @module
 */
import type { Script } from "../redis/script.ts";
import { claimOf, handOnOf, tickOf } from "./claim_scripts.ts";
import { enqueueOf } from "./enqueue_script.ts";
import type { Key } from "./leased_script.ts";
import {
  countsOf,
  pauseOf,
  peekOf,
  purgeOf,
  redriveOf,
  removeDeadOf,
  scanOf,
} from "./operator_scripts.ts";
import { OWN_ARGS, type ReadyKind } from "./ready_lua.ts";
import { ackOf, forgetOf, giveBackOf } from "./settle_scripts.ts";

/** Most messages that one script moves: Redis serves nobody else meanwhile. */
export const MAX_BATCH = 1_000;

/** The scripts of a kind of queue; each is described where it is made. */
export interface LeasedScripts {
  enqueue: ReturnType<typeof enqueueOf>;
  claim: ReturnType<typeof claimOf>;
  tick: ReturnType<typeof tickOf>;
  handOn: ReturnType<typeof handOnOf>;
  ack: ReturnType<typeof ackOf>;
  giveBack: ReturnType<typeof giveBackOf>;
  forget: ReturnType<typeof forgetOf>;
  counts: ReturnType<typeof countsOf>;
  peek: ReturnType<typeof peekOf>;
  scan: ReturnType<typeof scanOf>;
  removeDead: ReturnType<typeof removeDeadOf>;
  redrive: ReturnType<typeof redriveOf>;
  purge: ReturnType<typeof purgeOf>;
  pause: ReturnType<typeof pauseOf>;
}

const scriptsOf = (kind: ReadyKind): LeasedScripts => ({
  enqueue: enqueueOf(kind),
  claim: claimOf(kind),
  tick: tickOf(kind),
  handOn: handOnOf(kind),
  ack: ackOf(kind),
  giveBack: giveBackOf(kind),
  forget: forgetOf(kind),
  counts: countsOf(kind),
  peek: peekOf(kind),
  scan: scanOf(kind),
  removeDead: removeDeadOf(kind),
  redrive: redriveOf(kind),
  purge: purgeOf(kind),
  pause: pauseOf(kind),
});

/** One set of scripts for each kind. */
export const LEASED_SCRIPTS: Record<ReadyKind, LeasedScripts> = {
  list: scriptsOf("list"),
  priority: scriptsOf("priority"),
  stream: scriptsOf("stream"),
  tasks: scriptsOf("tasks"),
};

/** The scripts of a kind, told once what only this kind has to be told. */
export function bindScripts(kind: ReadyKind, own: Record<string, string | number>): LeasedScripts {
  const scripts = LEASED_SCRIPTS[kind];
  if (OWN_ARGS[kind].length === 0) return scripts;
  const bound = Object.entries(scripts).map(([name, script]) => {
    const { run } = script as Script<Key, string, unknown>;
    const told: typeof run = (send, keys, args, rest) => run(send, keys, { ...args, ...own }, rest);
    return [name, { ...script, run: told }];
  });
  return Object.fromEntries(bound) as LeasedScripts;
}
