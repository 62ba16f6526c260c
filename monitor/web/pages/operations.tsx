/** @jsxImportSource hono/jsx */
/**
 * Acting on many messages: how many there are, whether to do it, how far it is.
 *
 * @module
 */
import type { FC } from "hono/jsx";
import { duration, whole } from "../../format.ts";
import type { Kind } from "../../server/queues.ts";
import { behind } from "../commands.ts";
import type { Page, Visit } from "../layout.tsx";
import type { Operation, Operations, Phase, Verb } from "../operations.ts";
import { Change, Empty, Kept, pathOf, plural, Refresh, Text, When, withQuery } from "../parts.tsx";

const VERBS: Record<Verb, string> = {
  "redrive": "Redrive",
  "delete": "Delete",
  "purge": "Purge",
  "give back": "Give back",
  "bury": "Bury",
};

const CONSEQUENCES: Record<Verb, string> = {
  "redrive": "They are ready again, start at attempt 1, and keep their history.",
  "delete": "They are gone for good. A consumer that has one in hand goes on with it.",
  "purge": "They are gone for good, also those that come while it works.",
  "give back":
    "They are ready again, with one more attempt spent. Whoever has them in hand cannot settle them any more; a handler that looks at its signal hears of it with the next heartbeat.",
  "bury":
    "They are dead letters. Whoever has them in hand cannot settle them any more; a handler that looks at its signal hears of it with the next heartbeat.",
};

const WORDS: Record<Operation["state"], string> = {
  ready: "messages that wait",
  leased: "messages in hand",
  delayed: "messages that wait for their time",
  dead: "dead letters",
  completed: "the log of what is done",
  failed: "the log of what failed",
};

const PHASES: Record<Phase, string> = {
  counting: "counting",
  asking: "waits for you",
  running: "running",
  done: "done",
  stopped: "stopped",
  failed: "failed",
};

/** All that are remembered. */
export function operationsPage(_visit: Visit, operations: Operations): Page {
  const all = operations.list();
  return {
    title: "Operations",
    at: "/operations",
    live: (
      <>
        <div class="head">
          <div>
            <h1>Operations</h1>
            <p>What was done with many messages from here, since this server was started.</p>
          </div>
        </div>
        <div class="card">
          {all.length === 0
            ? (
              <Empty title="Nothing yet">
                <p>
                  Select messages of a queue, or all that fit a search. They are counted first, and
                  you are asked.
                </p>
              </Empty>
            )
            : (
              <div class="scroll" tabindex={0} role="region" aria-label="Operations">
                <table class="stacked">
                  <thead>
                    <tr>
                      <th>What</th>
                      <th>Queue</th>
                      <th>State</th>
                      <th class="num">Messages</th>
                      <th class="wide">When</th>
                    </tr>
                  </thead>
                  <tbody>
                    {all.map((one) => (
                      <tr>
                        <td>
                          <a href={pathOf("operations", one.id)}>{titleOf(one)}</a>
                        </td>
                        <td data-label="Queue">
                          <Text width={40}>{one.queue}</Text>
                        </td>
                        <td data-label="State">
                          <Badge phase={one.phase} />
                        </td>
                        <td class="num" data-label="Messages">
                          {whole(one.done)} of {whole(one.total)}
                        </td>
                        <td class="wide">
                          <When at={one.askedAt} now={Date.now()} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
        </div>
      </>
    ),
  };
}

/** One of them. */
export function operationPage(visit: Visit, one: Operation, kind: Kind): Page {
  const busy = one.phase === "counting" || one.phase === "running";
  const back = withQuery(`${pathOf("queues", one.queue)}/messages`, {
    state: one.state,
    q: one.query,
  });
  return {
    title: `${VERBS[one.verb]} in ${one.queue}`,
    at: "/operations",
    live: (
      <>
        <p class="crumbs">
          <a href="/operations">Operations</a>
        </p>
        <div class="head">
          <div>
            <h1>
              {titleOf(one)} <Badge phase={one.phase} />
            </h1>
            <p>
              <a href={back}>
                <Text width={60}>{one.queue}</Text>
              </a>, {WORDS[one.state]}
              {one.query && (
                <>
                  {" that fit "}
                  <code>
                    <Text width={120}>{one.query}</Text>
                  </code>
                </>
              )}
            </p>
          </div>
        </div>
        <div class="card" data-phase={one.phase}>
          <div class="body stack">
            <Standing one={one} />
            {one.phase === "asking" && !visit.readOnly && one.total > 0 && (
              <Kept id="confirm">
                <Confirm one={one} visit={visit} />
              </Kept>
            )}
            {busy && !visit.readOnly && (
              <Change action={`${pathOf("operations", one.id)}/stop`} token={visit.formToken}>
                <button type="submit" class="danger">Stop</button>
              </Change>
            )}
            {!busy && (
              <p>
                <a href={back}>Back to the messages</a>
              </p>
            )}
          </div>
        </div>
        <Kept id="does">
          <Does one={one} kind={kind} />
        </Kept>
        {busy && !visit.onlyLive && <Refresh seconds={1} />}
      </>
    ),
  };
}

const Standing: FC<{ one: Operation }> = ({ one }) => {
  const took = one.startedAt ? (one.endedAt ?? Date.now()) - one.startedAt : 0;
  switch (one.phase) {
    case "counting":
      return (
        <>
          <p>{whole(one.total)} fit among {whole(one.looked)} of {whole(one.inAll)} …</p>
          <progress max={Math.max(1, one.inAll)} value={one.looked} aria-label="Counted"></progress>
        </>
      );
    case "asking":
      return one.total === 0 ? <p>None fits.</p> : (
        <>
          <p class="figure">{plural(one.total, "message")}</p>
          <p class="muted">{CONSEQUENCES[one.verb]}</p>
        </>
      );
    default:
      return (
        <>
          <p>
            <b class="figure">{whole(one.done)}</b> <span class="muted">of {whole(one.total)}</span>
          </p>
          <progress max={Math.max(1, one.total)} value={one.done + one.gone} aria-label="Done">
          </progress>
          <p class="muted">
            {one.phase === "running" ? "for" : "in"} {duration(took)}
            {took > 1_000 && one.done > 0 && `, ${whole(one.done / took * 1_000)} a second`}
            {one.gone > 0 && `; ${plural(one.gone, "message")} had gone meanwhile`}
          </p>
          {one.trouble && <p class="note bad" role="alert">{one.trouble}</p>}
        </>
      );
  }
};

const Confirm: FC<{ one: Operation; visit: Visit }> = ({ one, visit }) => (
  <Change action={`${pathOf("operations", one.id)}/run`} token={visit.formToken} class="actions">
    {one.verb !== "purge" && one.total > 1 && (
      <label class="field">
        How many
        <input
          type="number"
          name="most"
          min="1"
          max={one.total}
          placeholder={`all ${whole(one.total)}`}
          title="The first ones, in the order of the list"
        />
      </label>
    )}
    {one.verb !== "purge" && (
      <label class="field">
        How fast
        <select name="perSecond">
          <option value="">as fast as it goes</option>
          {[1_000, 100, 10, 1].map((n) => (
            <option key={n} value={String(n)}>{whole(n)} a second</option>
          ))}
        </select>
      </label>
    )}
    <button
      type="submit"
      class={one.verb === "redrive" || one.verb === "give back" ? "primary" : "primary danger"}
    >
      {VERBS[one.verb]}{" "}
      <span data-all={plural(one.total, "message")}>{plural(one.total, "message")}</span>
    </button>
  </Change>
);

const Does: FC<{ one: Operation; kind: Kind }> = ({ one, kind }) => {
  const { call, redis } = behind({
    name: one.queue,
    kind,
    state: one.state,
    verb: one.verb,
    ids: one.ids ?? [],
  });
  return (
    <details class="note">
      <summary>What it does</summary>
      <pre>{[call, "", ...redis].join("\n")}</pre>
    </details>
  );
};

const Badge: FC<{ phase: Phase }> = ({ phase }) => {
  const kind = phase === "failed"
    ? "bad"
    : phase === "stopped" || phase === "asking"
    ? "warn"
    : "accent";
  return <span class={`badge ${kind}`}>{PHASES[phase]}</span>;
};

function titleOf({ verb, total }: Operation): string {
  return total > 0 ? `${VERBS[verb]} ${plural(total, "message")}` : VERBS[verb];
}
