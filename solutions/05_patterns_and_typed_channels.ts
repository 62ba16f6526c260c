/**
 * Solution 05 · Patterns and typed channels
 *
 * `parse` runs before a payload is sent and after one came in. What it throws is the reason.
 */
import { type Channel, channel } from "@workshop/redis-patterns";

/** What is on the channel of photos. */
export interface Photo {
  /** The name of its file. */
  file: string;
}

/** The channel of photos. */
export function photos(name: string): Channel<Photo> {
  return channel<Photo>(name, {
    parse(value) {
      const file = (value as { file?: unknown } | null)?.file;
      if (typeof file === "string" && file.endsWith(".jpg")) return { file };
      throw new TypeError(`not a photo: ${file}`);
    },
  });
}
