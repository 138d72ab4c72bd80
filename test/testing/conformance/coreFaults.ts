/**
 * Faults of the connection core: one method of it does something else, under a carrier that is as it should be.
 */
import type { ChunkQueue } from "../../../src/internal/chunkQueue.ts"
import { Connection } from "../../../src/internal/connection.ts"
import type { Waiter } from "../../../src/internal/writeBuffer.ts"
import { WriteBuffer } from "../../../src/internal/writeBuffer.ts"
import type { Fault } from "./fault.ts"
import { patched } from "./fault.ts"
import { good } from "./pairFaults.ts"

/** What of its insides the faults meddle with. */
interface Core {
  state: string
  report: unknown
  readonly writes: Buffer
  readonly input: ChunkQueue
  inputBytes: number
  inputEnded: boolean
  reader: { readonly waits: () => boolean } | undefined
  cancelTimer: unknown
  bytesRead: number
  bytesWritten: number
  ended: () => void
  startReading?: () => void
}

interface Buffer {
  buffered: number
  inFlight: number
  accepted: number
  readonly high: number
  readonly chunks: ChunkQueue
  readonly waiters: Set<Waiter>
  readonly written: (bytes: number) => void
  readonly push: (chunk: Uint8Array) => void
  readonly settle: (waiter: Waiter, outcome: string) => void
}

const core = (
  name: string,
  replace: (
    original: (this: Core, ...args: ReadonlyArray<never>) => unknown
  ) => (this: Core, ...args: Array<never>) => unknown
) => patched(Connection.prototype, name, replace)

const buffer = (
  name: string,
  replace: (
    original: (this: Buffer, ...args: ReadonlyArray<never>) => unknown
  ) => (this: Buffer, ...args: Array<never>) => unknown
) => patched(WriteBuffer.prototype, name, replace)

const nothing = () => () => undefined

const fault = (patch: () => () => void, breaks: ReadonlyArray<string>): Fault => ({
  makePair: good,
  patch,
  breaks
})

export const coreFaults: Record<string, Fault> = {
  "loses the chunk that comes after an interrupted reader": fault(
    core("received", (original) =>
      function(chunk) {
        if (this.reader?.waits() !== false) original.call(this, chunk)
        else this.reader = undefined
      }),
    [
      "a forEach that is interrupted again and again loses no byte",
      "pulls that are interrupted again and again lose no byte"
    ]
  ),
  "drops with the end what was read ahead": fault(
    core("ended", (original) =>
      function() {
        this.input.clear()
        this.inputBytes = 0
        original.call(this)
      }),
    ["who reads late gets all that came before the end"]
  ),
  "gives the end before the data": fault(
    core("take", (original) =>
      function() {
        if (this.inputEnded) {
          this.input.clear()
          this.inputBytes = 0
        }
        return original.call(this)
      }),
    [
      "the end comes after the data, and again at each later pull",
      "forEach gives first what was put back",
      "beside a forEach that waits another reader dies, and the first goes on",
      "bytes that are put back after the end come before it"
    ]
  ),
  "closes for the last reason": fault(
    core("lose", (original) =>
      function(loss, event) {
        const { bytesRead, bytesWritten } = this
        if (this.state === "closed") this.report = { loss, phase: "closing", bytesRead, bytesWritten, bytesUnsent: 0 }
        return original.call(this, loss, event)
      }),
    [
      "abort after a close that is done changes nothing"
    ]
  ),
  "accepts without a bound": fault(buffer("admits", () => () => true), [
    "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
    "the write that reaches the high-water mark exactly does not wait, the next one does",
    "a write that waits is released when the peer closes",
    "a writer that waits goes on when the peer reads"
  ]),
  "lets those who wait in by turns": fault(
    buffer("admit", () =>
      function() {
        for (let more = true; more && this.buffered < this.high;) {
          more = false
          for (const waiter of this.waiters) {
            if (waiter.next < waiter.chunks.length) this.push(waiter.chunks[waiter.next++]!)
            if (waiter.next >= waiter.chunks.length) this.settle(waiter, "accepted")
            more = true
          }
        }
      }),
    [
      "nothing comes between the chunks of one writeAll"
    ]
  ),
  "tears the chunks": fault(
    buffer("push", (original) =>
      function(this: Buffer, chunk: Uint8Array) {
        const half = chunk.length >> 1
        const last = this.chunks.length
        original.call(this, chunk.subarray(0, half) as never)
        original.call(this, chunk.subarray(half) as never)
        if (half === 0 || last === 0) return
        const chunks = [...this.chunks.takeAll()]
        chunks.splice(last - 1, 2, chunks[last]!, chunks[last - 1]!)
        for (const each of chunks) this.chunks.push(each)
      }),
    [
      "writers at the same time never mix their chunks",
      "a failure within forEach ends it, a throw is a defect, and the rest is there for the next reader",
      "forEach gives everything in its order, and is over at the end",
      "a reader that rests again and again gets everything in its order"
    ]
  ),
  "takes a failure for an end": fault(
    core("failed", () =>
      function() {
        this.ended()
      }),
    [
      "a reset is not taken for an end",
      "a pull that waits fails when the peer resets",
      "data and then a reset is no clean end",
      "writing to a peer that is gone fails in the end, and from then on"
    ]
  ),
  "never learns that its end is out": fault(core("finished", nothing), [
    "closeWrite is idempotent",
    "both directions ended is closed, with no further call",
    "both sides may close at the same time",
    "a flush and a closeWrite after a close find nothing to do"
  ]),
  "does not go on when the carrier has drained": fault(
    core("written", () =>
      function(bytes) {
        this.bytesWritten += bytes
        this.writes.written(bytes)
      }),
    [
      "a writer that waits goes on when the peer reads",
      "a flush waits for the peer to read",
      "a write that waits is released when the peer closes",
      "stats tell when bytes last moved"
    ]
  ),
  "reads on when it has read enough": fault(core("stopReading", nothing), [
    "reading ahead of the consumer is bounded",
    "one large write reaches a slow reader whole, who holds no more than its bound",
    "an echo by forEach reads no further than its peer reads what comes back"
  ]),
  "sets no deadline": fault(core("arm", nothing), [
    "writing to a peer that has closed fails in the end, and from then on",
    "with no linger time, close does not wait for the peer's end",
    "a close that takes longer than closeTimeout aborts, and tells what is unsent",
    "a flush that waits fails when the close takes too long"
  ]),
  "leaves its deadlines behind": fault(
    core("disarm", () =>
      function() {
        this.cancelTimer = undefined
      }),
    [
      "nothing is left of a pair that was used: no fiber, no timer, nobody who waits",
      "one byte goes through"
    ]
  ),
  "loses what is put back": fault(core("unread", nothing), [
    "bytes that are put back come first, before what follows them",
    "bytes that are put back wake a pull",
    "forEach gives first what was put back",
    "bytes that are put back after the end come before it"
  ]),
  "never wakes a reader": fault(core("wakeReader", nothing), [
    "an empty write has no meaning",
    "one byte goes through",
    "the counters stay as they were when it ended",
    "a pull waits until there is input"
  ]),
  "never wakes who waits for something to hold": fault(core("wakeConditions", nothing), [
    "closed is one value for everybody, now and later",
    "close sends everything that was accepted, and then the end",
    "a flush waits for the peer to read"
  ]),
  "wakes a writer again and again": fault(
    buffer("settle", () =>
      function(this: Buffer, waiter: Waiter, outcome: Waiter["outcome"]) {
        waiter.outcome = outcome
        waiter.notify()
      }),
    [
      "a writer that waits goes on when the peer reads",
      "writers that wait are let in by the order of their calls",
      "a write that waits is released when the peer closes"
    ]
  ),
  "sends what was taken back": fault(buffer("withdraw", nothing), [
    "an interrupted writeAll takes back what was not accepted",
    "a write that times out has sent nothing, and the next one goes on",
    "an interrupted write that waited takes back its own chunk, and only that"
  ]),
  "loses the rest of a large chunk": fault(
    buffer("take", (original) =>
      function(limit) {
        const batch = original.call(this, Math.min(limit, 50_000) as never) as ReadonlyArray<Uint8Array>
        this.chunks.clear()
        this.buffered = this.inFlight
        return batch
      }),
    [
      "one large write reaches a slow reader whole, who holds no more than its bound",
      "a loss tells what was read, written and left unsent",
      "an interrupted flush changes nothing"
    ]
  ),
  "does not read on when it closes": fault(
    core("discardInput", (original) =>
      function() {
        this.startReading = () => {}
        original.call(this)
        delete this.startReading
      }),
    [
      "close after the peer's end needs no waiting",
      "close sends everything that was accepted, and then the end"
    ]
  ),
  "takes what is buffered for sent": fault(
    core("handedOver", () =>
      function() {
        return this.writes.accepted
      }),
    [
      "a flush waits for the peer to read",
      "a flush that waits fails when the close takes too long",
      "closeWrite does not disturb a flush that waits",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls"
    ]
  ),
  "does not know that it has ended": fault(core("writeEnded", () => () => false), [
    "after close every kind of write is refused, the empty one as well",
    "a write after closeWrite fails with WriteAfterEnd and sends nothing",
    "the outgoing queue is the write buffer, with false for a failure"
  ])
}
