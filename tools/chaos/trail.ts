/**
 * What a worker process wrote into its file, and what follows from the files of all of them. The audit
 * trusts nothing else: not Redis, which is being killed, nor the library, which is being tested.
 *
 * ```
 * ready 0 0 1795320605100       it is connected
 * start 17 1 1795320605233      message 17 was handed over (attempt 1), and when
 * done 17 1 1795320605263       its handler has finished
 * acked 17 1 1795320605264      Redis has the ack
 * lost 17 1 1795320605264       Redis refused it: the lease was over
 * failed 17 1 1795320605264     the message was given back
 * ```
 *
 * @module
 */

/** A line. */
export interface Said {
  what: string;
  n: number;
  attempt: number;
  at: number;
}

/** The file of one process, read as it grows. */
export class Trail {
  /** Where it is. */
  readonly path: string;
  /** All lines so far. */
  readonly said: Said[] = [];
  /** Whether the process is connected. */
  isReady = false;
  /** Messages whose handlers are at work, or were when the process died. */
  readonly inHand = new Set<number>();
  #offset = 0;

  constructor(path: string) {
    this.path = path;
    Deno.writeTextFileSync(path, "");
  }

  /** Reads what was added. */
  read(): this {
    using file = Deno.openSync(this.path);
    file.seekSync(this.#offset, Deno.SeekMode.Start);
    let text = "";
    const part = new Uint8Array(65_536);
    for (let size = file.readSync(part); size !== null; size = file.readSync(part)) {
      text += new TextDecoder().decode(part.subarray(0, size)); // digits and letters only
    }
    // A line that is being written is read the next time.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    this.#offset += whole.length;
    for (const line of whole.split("\n").slice(0, -1)) this.#note(line);
    return this;
  }

  #note(line: string): void {
    const [what = "", n, attempt, at] = line.split(" ");
    const said = { what, n: Number(n), attempt: Number(attempt), at: Number(at) };
    if (what === "ready") this.isReady = true;
    else this.said.push(said);
    if (what === "start") this.inHand.add(said.n);
    if (what === "done") this.inHand.delete(said.n);
  }
}

/** What became of the messages. */
export interface Audit {
  /** Messages whose enqueueing was confirmed and whose handler never finished. */
  lost: number[];
  /** Acks that Redis confirmed for a message of which it had confirmed one already. */
  doubleAcks: number;
  /** The same, where the first ack was in a master's last moments: it was gone with it. */
  acksGone: number;
  /** Handlers that finished for a message for which one had finished already. */
  completedTwice: number;
  /** Hand-overs. */
  started: number;
  /** Hand-overs whose handlers did not finish. */
  cutShort: number;
  /** Acks that were refused since the lease was over. */
  refused: number;
}

/** From one instant to another. */
export interface Span {
  from: number;
  to: number;
}

/**
 * Goes through all files.
 *
 * @param last When masters had their last moments: what they answered then no other server may have.
 */
export function audit(
  trails: readonly Trail[],
  confirmed: readonly number[],
  last: readonly Span[] = [],
): Audit {
  const times = { start: 0, done: 0, acked: 0, lost: 0 };
  const finished = new Set<number>();
  const ackedAt = new Map<number, number[]>();
  for (const { said } of trails) {
    for (const { what, n, at } of said) {
      if (what in times) times[what as keyof typeof times]++;
      if (what === "done") finished.add(n);
      if (what === "acked") ackedAt.set(n, [...(ackedAt.get(n) ?? []), at]);
    }
  }
  const again = [...ackedAt.values()].flatMap((all) => all.sort((a, b) => a - b).slice(0, -1));
  const isGone = (at: number) => last.some(({ from, to }) => at >= from && at <= to);
  const acksGone = again.filter(isGone).length;
  return {
    lost: confirmed.filter((n) => !finished.has(n)),
    doubleAcks: again.length - acksGone,
    acksGone,
    completedTwice: times.done - finished.size,
    started: times.start,
    cutShort: times.start - times.done,
    refused: times.lost,
  };
}

/**
 * How long after `at` each of these messages was handed over again, in milliseconds; those that never
 * were have none.
 */
export function handedOverAgain(
  trails: readonly Trail[],
  faults: readonly { at: number; inHand: readonly number[] }[],
): number[] {
  const starts = new Map<number, number[]>();
  for (const { said } of trails) {
    for (const { what, n, at } of said) {
      if (what === "start") starts.set(n, [...(starts.get(n) ?? []), at]);
    }
  }
  return faults.flatMap(({ at, inHand }) =>
    inHand.flatMap((n) => {
      const later = (starts.get(n) ?? []).filter((start) => start > at);
      return later.length > 0 ? [Math.min(...later) - at] : [];
    })
  );
}

/**
 * How long after each of these instants a first ack was confirmed, of those from `since` on: what came
 * before that was under way already.
 */
export function firstAcks(
  trails: readonly Trail[],
  instants: readonly { at: number; since: number }[],
): number[] {
  const acks = trails.flatMap(({ said }) =>
    said.filter(({ what }) => what === "acked").map(({ at }) => at)
  ).sort((a, b) => a - b);
  return instants.flatMap(({ at, since }) => {
    const first = acks.find((ack) => ack >= since);
    return first === undefined ? [] : [first - at];
  });
}
