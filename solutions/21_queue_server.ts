/**
 * Solution 21 · A queue server
 *
 * The token says which hand-over is meant, so anybody who has it can settle it. Answers have a
 * body, which is read or thrown away, or its connection stays in use.
 */

/** Sends JSON, as `curl -H 'content-type: application/json' -d '{…}'` does. */
function post(url: string, body: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Prints all orders that are waiting in `queue`; `print` throws when there is no paper. */
export async function consume(
  { server, queue }: { server: string; queue: string },
  print: (payload: unknown) => void,
): Promise<void> {
  for (;;) {
    const response = await post(`${server}/queues/${queue}/receive`, {});
    if (response.status !== 200) return;
    const { deliveries } = await response.json();
    for (const { payload, token } of deliveries) {
      let settled: Response;
      try {
        print(payload);
        settled = await post(`${server}/deliveries/${token}/ack`, {});
      } catch {
        settled = await post(`${server}/deliveries/${token}/nack`, { delayMs: 0 });
      }
      await settled.body?.cancel();
    }
  }
}
