/**
 * The bounds that are figures: what was measured on Node 20, and 15 % more. Repeated runs lie within 3 % of each other, on
 * an idle machine and on a busy one; only a change of the code or of the runtime moves them.
 */

const atMost = (measured: number): number => Math.ceil(measured * 1.15)

/** Bytes of heap that a server allocates for a message of 2 KiB and its echo. On node:net alone: 920. */
export const heapPerMessage = { handler: atMost(1215), loop: atMost(3365), stream: atMost(6210) }

/** The same when the echo is written in 16 pieces. */
export const heapPerMessageOf16Writes = { handler: atMost(11_750), loop: atMost(14_160), stream: atMost(9960) }

/**
 * Bytes of heap for a connection that is accepted, echoes a byte and is ended by its peer; on node:net alone up to 9000.
 * And its fibers: none while forEach handles at once, one for any other handler, and one that Stream makes.
 */
export const perConnection = {
  handler: { heap: atMost(13_900), fibers: 0 },
  loop: { heap: atMost(35_000), fibers: 1 },
  stream: { heap: atMost(249_500), fibers: 2 }
}

/**
 * What collections of the young generation leave of a connection that is over. It was 4500 when functions that hold the
 * connection were allocated in the old one, see `Driver.ts`. What a fiber leaves is Effect's, and differs from run to run.
 */
export const survivingPerConnection = atMost(2100)
