/**
 * What the threads of step 15 run. A file of its own: every thread loads it, and nothing else.
 *
 * @module
 */

/** A raw photo as it comes from the camera. */
export interface Raw {
  /** Its name. */
  photo: string;
  /** When it was put into the queue. */
  madeAt: number;
}

/** Work that needs the processor from beginning to end, some 30 ms of it: nothing is awaited. */
function develop({ photo }: Raw): { file: string } {
  let light = 1;
  for (let pixel = 0; pixel < 2_000_000; pixel++) {
    light = (light * 1_103_515_245 + 12_345) % 2 ** 31;
  }
  return { file: `${photo}_${light % 10}.jpg` };
}

/** Handlers by the names of their tasks. */
export const handlers = { develop };
