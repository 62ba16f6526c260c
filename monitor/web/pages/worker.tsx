/** @jsxImportSource hono/jsx */
/**
 * One worker, in a row of a table: who it is, when it was heard of, and the button that pauses it.
 *
 * @module
 */
import type { ConsumerInfo } from "@workshop/redis-patterns";
import type { FC } from "hono/jsx";
import { behindPauseConsumer } from "../commands.ts";
import type { Visit } from "../layout.tsx";
import { Change, passed, pathOf, Text } from "../parts.tsx";

/** From when on a worker is in doubt, in milliseconds: it has missed a word. */
const SILENT_MS = 15_000;

/** Its name, how it waits, and whether it takes anything. */
export const WorkerName: FC<Pick<ConsumerInfo, "consumer" | "mode" | "paused">> = (
  { consumer, mode, paused },
) => (
  <>
    <span class="id">
      <Text width={40}>{consumer}</Text>
    </span>{" "}
    <span class="badge">{mode}</span>
    {paused && (
      <>
        {" "}
        <span class="badge warn" title="It finishes what it has, and takes no more">paused</span>
      </>
    )}
  </>
);

/** How long ago it said that it is there. */
export const Heartbeat: FC<{ seenMs: number }> = ({ seenMs }) => (
  <td
    data-label="Heartbeat"
    class={seenMs > SILENT_MS ? "warn nowrap" : "nowrap"}
    title={seenMs > SILENT_MS
      ? "It has missed a word: it says every ten seconds that it is there"
      : ""}
  >
    {passed(seenMs)}
  </td>
);

/** Lets it finish what it has and take no more, or takes that back. */
export const PauseWorker: FC<{
  worker: { queue: string; consumer: string; paused?: true | undefined };
  visit: Visit;
}> = ({ worker: { queue, consumer, paused }, visit }) => {
  const how = paused ? "resume" : "pause";
  const { call, redis } = behindPauseConsumer({ name: queue, consumer, how });
  return (
    <Change
      action={`${pathOf("queues", queue, "workers", consumer)}/${how}`}
      token={visit.formToken}
      class="inline"
    >
      <input type="hidden" name="back" value={visit.path} />
      <button
        type="submit"
        class="slim"
        title={[call, ...redis].join("\n")}
        aria-label={`${paused ? "Resume" : "Pause"} ${consumer}`}
      >
        {paused ? "Resume" : "Pause"}
      </button>
    </Change>
  );
};
