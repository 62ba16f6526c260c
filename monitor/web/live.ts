/**
 * A page's live part, sent anew when it changes: server-sent events, two a second at most, and none to
 * whoever does not read them.
 *
 * The browser closes the stream while the page is hidden, and opens it again afterwards.
 *
 * @module
 */

/** How often it is looked whether something changed, in milliseconds: the frame rate. */
const FRAME_MS = 500;

/** How long nothing may be said: what stands between us and the browser may think that we are gone. */
const SILENCE_MS = 15_000;

/** What one frame is. */
export interface Frame {
  /** The live part; undefined if the page as a whole is another one now. */
  html: string | undefined;
}

/** The stream. `look` makes a frame; it is not called while the last one was not read. */
export function liveResponse(
  look: () => Promise<Frame>,
  { closing, onEnd }: { closing: AbortSignal; onEnd: () => void },
): Response {
  const encoder = new TextEncoder();
  const over = new AbortController();
  let stream: ReadableStreamDefaultController<Uint8Array>;
  const end = () => {
    if (over.signal.aborted) return;
    over.abort();
    closing.removeEventListener("abort", shut);
    onEnd();
  };
  // Also where nobody reads any more: a server waits for its streams before it ends.
  const shut = () => {
    end();
    stream.close();
  };
  closing.addEventListener("abort", shut);
  let last: string | undefined;
  let sentAt = performance.now();

  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      stream = controller;
    },
    async pull(controller) {
      for (;;) {
        await pause(FRAME_MS, over.signal);
        if (over.signal.aborted) return;
        const { html } = await look();
        if (over.signal.aborted) return;
        if (html === undefined) {
          controller.enqueue(encoder.encode("event: reload\ndata: \n\n"));
          end();
          return controller.close();
        }
        const isNews = html !== last;
        if (!isNews && performance.now() - sentAt < SILENCE_MS) continue;
        last = html;
        sentAt = performance.now();
        const lines = html.split("\n").map((line) => `data: ${line}\n`).join("");
        controller.enqueue(encoder.encode(isNews ? `${lines}\n` : ":\n\n"));
        return;
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    },
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", done);
  });
}
