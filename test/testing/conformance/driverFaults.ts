/**
 * Faults of a driver: between the core and a simulated TCP connection stands something that does not do as it is told, or
 * does not tell what it does.
 */
import type { SystemFailure } from "../../../src/ConnectionError.ts"
import type { Driver, Events } from "../../../src/Driver.ts"
import { TcpConnection } from "../../../src/testing/internal/sim/tcp.ts"
import type * as Conformance from "../../../src/testing/Conformance.ts"
import { simPair } from "../../support/pairs.ts"
import type { Fault } from "./fault.ts"
import { patched } from "./fault.ts"

type Calls = { readonly [C in keyof Driver]?: Driver[C] }
type Reports = Partial<Events<SystemFailure>>

interface Between {
  readonly calls?: (driver: Driver, events: Events<SystemFailure>) => Calls
  readonly reports?: (events: Events<SystemFailure>) => Reports
}

const fault = ({ calls, reports }: Between, breaks: ReadonlyArray<string>): Fault => ({
  // Run within a simulation.
  makePair: simPair as unknown as Conformance.MakePair,
  breaks,
  patch: patched(
    TcpConnection.prototype,
    "attach",
    ((original: (events: Reports) => Driver) =>
      function(this: TcpConnection, events: Events<SystemFailure>): Driver {
        const heard: Events<SystemFailure> = {
          received: (chunk) => events.received(chunk),
          ended: () => events.ended(),
          written: (bytes) => events.written(bytes),
          finished: () => events.finished(),
          failed: (failure) => events.failed(failure),
          released: () => events.released(),
          turned: () => events.turned()
        }
        const driver = original.call(this, { ...heard, ...reports?.(heard) })
        const obeyed: Driver = {
          startReading: () => driver.startReading(),
          stopReading: () => driver.stopReading(),
          write: (chunks, bytes) => driver.write(chunks, bytes),
          end: () => driver.end(),
          release: () => driver.release(),
          reset: () => driver.reset()
        }
        return { ...obeyed, ...calls?.(obeyed, heard) }
      }) as never
  )
})

const nothing = () => {}

export const driverFaults: Record<string, Fault> = {
  "reports the end before the data": fault({
    reports: ({ received }) => ({ received: (chunk) => queueMicrotask(() => received(chunk)) })
  }, [
    "chunks of any size arrive whole and in their order",
    "after closeWrite reading goes on",
    "what was sent before a close arrives, though nobody read until then"
  ]),
  "says that it has taken everything at once": fault({
    calls: ({ write }) => ({ write: (chunks, bytes) => write(chunks, bytes) || true }),
    reports: () => ({ written: nothing })
  }, [
    "a flush waits for the peer to read",
    "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
    "the write that reaches the high-water mark exactly does not wait, the next one does",
    "a closeWrite that waits fails when this side aborts"
  ]),
  "reports twice what was written": fault({
    reports: ({ written }) => ({
      written: (bytes) => {
        written(bytes)
        written(bytes)
      }
    })
  }, [
    "a flush waits for the peer to read",
    "chunks of any size arrive whole and in their order",
    "close after closeWrite sends what was accepted"
  ]),
  "never reports that it has drained": fault({ reports: () => ({ written: nothing }) }, [
    "a writer that waits goes on when the peer reads",
    "a flush waits for the peer to read",
    "a write that waits is released when the peer closes"
  ]),
  "never reports that its end is sent": fault({ reports: () => ({ finished: nothing }) }, [
    "both sides may close at the same time",
    "a flush and a closeWrite after a close find nothing to do",
    "the end of a peer that sent nothing comes to a pull that waits",
    "abort after a close that is done changes nothing"
  ]),
  "reports its end and does not send it": fault({ calls: (_, { finished }) => ({ end: finished }) }, [
    "the end of a peer that sent nothing comes to a pull that waits",
    "the end comes after the data, and again at each later pull",
    "close after the peer's end needs no waiting"
  ]),
  "never reports that it is released": fault({ reports: () => ({ released: nothing }) }, [
    "close sends everything that was accepted, and then the end",
    "abort leaves nothing, and closed says so",
    "both directions ended is closed, with no further call"
  ]),
  "reads while it is told to stop": fault({ calls: () => ({ stopReading: nothing }) }, [
    "reading ahead of the consumer is bounded",
    "one large write reaches a slow reader whole, who holds no more than its bound",
    "an echo by forEach reads no further than its peer reads what comes back"
  ]),
  "reads before it is told to": fault({
    calls: ({ startReading }) => {
      queueMicrotask(startReading)
      return {}
    }
  }, [
    "no byte is taken before the first pull",
    "a close that takes longer than closeTimeout aborts, and tells what is unsent",
    "a flush that waits fails when the close takes too long",
    "writers that wait are let in by the order of their calls"
  ]),
  "loses every third chunk": fault({
    reports: ({ received }) => {
      let count = 0
      return { received: (chunk) => ++count % 3 === 0 ? undefined : received(chunk) }
    }
  }, [
    "ping and pong go back and forth",
    "the counters of both ends agree",
    "one large write reaches a slow reader whole, who holds no more than its bound"
  ]),
  "uses its read buffer again": fault({
    reports: ({ received }) => {
      const buffer = new Uint8Array(65536)
      return {
        received: (chunk) => {
          buffer.set(chunk)
          received(buffer.subarray(0, chunk.length))
        }
      }
    }
  }, [
    "bytes that were pulled stay as they are",
    "after a flush nothing is buffered, and the writer may use its buffer again",
    "an interrupted flush changes nothing",
    "all members may be used at the same time, again and again"
  ]),
  "takes a reset for an end": fault({ reports: ({ ended }) => ({ failed: () => ended() }) }, [
    "a reset is not taken for an end",
    "a pull that waits fails when the peer resets",
    "data and then a reset is no clean end",
    "writing to a peer that is gone fails in the end, and from then on"
  ]),
  "hands the chunks over in another order": fault({
    calls: ({ write }) => ({ write: (chunks, bytes) => write(chunks.toReversed(), bytes) })
  }, [
    "views of larger buffers, and subclasses of Uint8Array, are bytes as well",
    "the outgoing queue is the write buffer, with false for a failure",
    "ten thousand tiny writes arrive whole",
    "forEach gives everything in its order, and is over at the end"
  ]),
  "hands over only the first of the chunks": fault({
    calls: ({ write }) => ({
      write: (chunks, bytes) => {
        write(chunks.slice(0, 1), chunks[0]!.length)
        return bytes > 0
      }
    })
  }, [
    "the counters of both ends agree",
    "nothing comes between the chunks of one writeAll",
    "an operation does nothing until it is run, and runs anew each time"
  ]),
  "resets in place of letting go": fault({ calls: ({ reset }) => ({ release: reset }) }, [
    "what was sent before a close arrives, though nobody read until then"
  ]),
  "lets go in place of a reset": fault({ calls: ({ release }) => ({ reset: release }) }, [
    "a pull that waits fails when the peer resets",
    "data and then a reset is no clean end",
    "a reset is not taken for an end",
    "a reset after this side has ended is no clean end"
  ])
}
