/**
 * The messages of a state, page after page: what looks at many asks for no more than a page at a time, so
 * that Redis is never busy with one look for long.
 *
 * @module
 */
import type { PeekState, Waiting } from "@workshop/redis-patterns";
import type { AnyQueue } from "./snapshot.ts";

/** The pages, until there are no more, or `most` messages were seen. What moves meanwhile may be missed. */
export async function* pagesOf(
  queue: AnyQueue,
  state: PeekState,
  { page, most = Infinity, payloads = true }: {
    /** How many messages at once. */
    page: number;
    most?: number | undefined;
    payloads?: boolean;
  },
): AsyncGenerator<readonly Waiting<unknown>[], void, void> {
  let cursor: string | undefined;
  for (let left = most; left > 0;) {
    const limit = Math.min(page, left);
    const { messages, cursor: next } = await queue.peek(state, {
      limit,
      payloads,
      ...(cursor && { cursor }),
    });
    yield messages;
    if (!next) return;
    cursor = next;
    left -= messages.length;
  }
}
