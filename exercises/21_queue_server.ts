/**
 * Exercise 21 · A queue server
 *
 * The cash register can do HTTP and nothing else: it does here what you could do with curl. It
 * takes orders until there are none (204). What it has printed is printed again in 30 seconds.
 *
 * Check it: deno task learn 21        A hint: deno task hint 21
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
    for (const { payload } of deliveries) {
      try {
        print(payload);
        // TODO: say that it is done: each delivery has a `token`, which is its receipt
      } catch {
        // TODO: give it back, to be taken again at once
      }
    }
  }
}
