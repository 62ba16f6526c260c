/**
 * A bounded inbox: what has arrived and was not read yet.
 *
 * Redis pushes messages whether or not anybody reads them. A reader that is slower than its channel
 * would fill the memory, so the inbox has a size and counts what it had to drop.
 *
 * @module
 */

/** First in, first out; drops the oldest when full. */
export class Inbox<M> {
  readonly #size: number;
  #items: M[] = [];
  #head = 0; // shift() on a long array moves all of it
  #waiting: (() => void)[] = [];
  /** How many messages were dropped since the beginning. */
  dropped = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** How many messages wait to be read. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Adds a message. Returns false if the oldest one had to go for it. */
  put(message: M): boolean {
    this.#items.push(message);
    const fits = this.length <= this.#size;
    if (!fits) {
      this.take();
      this.dropped++;
    }
    this.wake();
    return fits;
  }

  /** The oldest message, or undefined if there is none. */
  take(): M | undefined {
    if (this.length === 0) return undefined;
    const message = this.#items[this.#head];
    this.#items[this.#head++] = undefined as M; // let go of it
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }

  /** Resolves when there may be something to read, or when `wake` is called. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Wakes all who wait. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
