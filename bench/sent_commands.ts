/**
 * Commands as `MONITOR` shows them: what clients sent, without what scripts called.
 *
 * @module
 */
import type { RedisClientType } from "redis";

/** Counts from `watch` to `end`. */
export class SentCommands {
  #count = 0;
  readonly #redis: RedisClientType;

  private constructor(redis: RedisClientType) {
    this.#redis = redis;
  }

  /** Begins to count. */
  static async watch(redis: RedisClientType): Promise<SentCommands> {
    const monitor = redis.duplicate();
    monitor.on("error", () => {}); // then the count is short, and that shows
    await monitor.connect();
    const watch = new SentCommands(monitor as RedisClientType);
    await monitor.monitor((line) => {
      if (!/^\S+ \[\d+ lua\]/.test(String(line))) watch.#count++;
    });
    return watch;
  }

  /** Ends; gives how many there were. */
  async end(): Promise<number> {
    // What was sent before the last reply is on its way to us.
    for (let before = -1; before !== this.#count;) {
      before = this.#count;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.#redis.destroy();
    return this.#count;
  }
}
