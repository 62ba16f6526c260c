/**
 * Exercise 05 · Patterns and typed channels
 *
 * A photo is an object whose `file` is a text that ends in `.jpg`. The type says so to whoever
 * compiles against it. Nobody says so to the program that publishes `IMG_9.exe`.
 *
 * Check it: deno task learn 05        A hint: deno task hint 05
 */
import { type Channel, channel } from "@workshop/redis-patterns";

/** What is on the channel of photos. */
export interface Photo {
  /** The name of its file. */
  file: string;
}

/** The channel of photos. */
export function photos(name: string): Channel<Photo> {
  // TODO: look at what comes in, and refuse what is no photo
  return channel<Photo>(name);
}
