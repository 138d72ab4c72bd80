import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import type { Connection, Loss } from "../../src/internal/connection.ts"
import { bytes, counting, joined } from "../support/bytes.ts"
import type { Call } from "../support/fakeDriver.ts"
import { open } from "../support/fakeDriver.ts"

/** All microtasks that are due now, and those which they bring. */
const microtasks = async () => {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

/** Somebody who waits, and counts how often it was told. */
const notified = () => {
  let times = 0
  let waiting = true
  const notify = () => void times++
  return Object.assign(notify, {
    notify,
    times: () => times,
    waits: () => waiting,
    /** Without a word, as an interrupted fiber does. */
    leave: () => {
      waiting = false
    }
  })
}

/** Pulls as the shell does: looks, and takes. */
const pull = (connection: Connection<string>): ReadonlyArray<number> | string | null => {
  const readiness = connection.readiness()
  if (readiness !== "ready") return readiness
  const chunk = connection.take()
  return chunk && [...chunk]
}

const lossOf = (connection: Connection<string>): Loss<string> | undefined => connection.report?.loss

describe("Connection", () => {
  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  describe("reading", () => {
    it("takes nothing from the carrier before the first reader waits", () => {
      const { connection, driver } = open()
      assert.strictEqual(connection.readiness(), "pending")
      assert.deepStrictEqual(driver.calls, [])
      connection.awaitInput(notified())
      assert.deepStrictEqual(driver.calls, ["startReading"])
      assert.isTrue(connection.pulling)
    })

    it("a write takes no input either", async () => {
      const { connection, driver } = open()
      connection.push(bytes(1))
      await microtasks()
      assert.deepStrictEqual(driver.calls, ["write"])
    })

    it("tells the reader once, and gives what came, chunk by chunk", () => {
      const { connection } = open()
      const reader = notified()
      connection.awaitInput(reader)
      connection.received(bytes(2, 1))
      connection.received(bytes(3, 2))
      assert.strictEqual(reader.times(), 1)
      assert.isFalse(connection.pulling)
      assert.strictEqual(connection.unreadBytes, 5)
      assert.deepStrictEqual([pull(connection), pull(connection)], [[1, 1], [2, 2, 2]])
      assert.strictEqual(pull(connection), "pending")
      assert.deepStrictEqual([connection.bytesRead, connection.unreadBytes], [5, 0])
    })

    it("tells a reader at once what came between its look and its waiting", () => {
      const { connection } = open()
      connection.awaitInput(notified())
      connection.received(bytes(1))
      pull(connection)
      assert.strictEqual(connection.readiness(), "pending")
      connection.received(bytes(1))
      const reader = notified()
      connection.awaitInput(reader)
      assert.strictEqual(reader.times(), 1)
      assert.isFalse(connection.pulling)
    })

    it("tells a reader at once of an end, a loss and a close that came between its look and its waiting", () => {
      for (const event of ["ended", "failed", "close", "abort"] as const) {
        const { connection } = open()
        assert.strictEqual(connection.readiness(), "pending")
        connection[event]("broken")
        const reader = notified()
        connection.awaitInput(reader)
        assert.strictEqual(reader.times(), 1, event)
      }
    })

    it("an empty chunk is nothing", () => {
      const { connection } = open()
      const reader = notified()
      connection.awaitInput(reader)
      connection.received(bytes(0))
      assert.strictEqual(reader.times(), 0)
    })

    it("reads ahead up to readBufferSize and one chunk, then stops the driver", () => {
      const { connection, driver } = open({ readBufferSize: 10 })
      connection.awaitInput(notified())
      connection.received(bytes(6))
      connection.received(bytes(3))
      assert.deepStrictEqual(driver.calls, ["startReading"])
      connection.received(bytes(1))
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading"])
      // A chunk that was under way is kept, and stops nothing twice.
      connection.received(bytes(6))
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading"])
      assert.strictEqual(connection.unreadBytes, 16)
    })

    it("starts the driver again when half of the buffer is free", () => {
      const { connection, driver } = open({ readBufferSize: 10 })
      connection.awaitInput(notified())
      for (const size of [4, 2, 5]) connection.received(bytes(size))
      assert.strictEqual(driver.calls.at(-1), "stopReading")
      pull(connection)
      assert.strictEqual(connection.unreadBytes, 7)
      assert.strictEqual(driver.calls.at(-1), "stopReading")
      pull(connection)
      assert.strictEqual(connection.unreadBytes, 5)
      assert.strictEqual(driver.calls.at(-1), "startReading")
    })

    it("what a waiting reader is about to take does not count as read ahead", () => {
      const { connection, driver } = open({ readBufferSize: 10 })
      connection.awaitInput(notified())
      connection.received(bytes(50))
      assert.deepStrictEqual(driver.calls, ["startReading"])
      pull(connection)
      connection.received(bytes(9))
      assert.deepStrictEqual(driver.calls, ["startReading"])
      connection.received(bytes(1))
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading"])
    })

    it("a reader that was told and has left leaves no more than the bound behind", async () => {
      const { connection, driver } = open({ readBufferSize: 10 })
      connection.awaitInput(notified())
      connection.received(bytes(50))
      assert.deepStrictEqual(driver.calls, ["startReading"])
      await microtasks()
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading"])
    })

    it("a reader that was told and takes what is beyond the bound stops nothing", async () => {
      const { connection, driver } = open({ readBufferSize: 10 })
      connection.awaitInput(Object.assign(notified(), { notify: () => void pull(connection) }))
      connection.received(bytes(50))
      await microtasks()
      assert.deepStrictEqual(driver.calls, ["startReading"])
    })

    it("reads no more than 128 chunks ahead, however small, and goes on when half of them are taken", () => {
      const { connection, driver } = open({ readBufferSize: 65536 })
      connection.awaitInput(notified())
      for (let count = 0; count < 127; count++) connection.received(bytes(1))
      assert.deepStrictEqual(driver.calls, ["startReading"])
      connection.received(bytes(1))
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading"])
      for (let count = 0; count < 63; count++) pull(connection)
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading"])
      pull(connection)
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading", "startReading"])
    })

    it("with a readBufferSize of 0 input is taken only while a reader waits", () => {
      const { connection, driver } = open({ readBufferSize: 0 })
      for (let round = 1; round <= 3; round++) {
        connection.awaitInput(notified())
        assert.strictEqual(driver.calls.at(-1), "startReading")
        connection.received(bytes(1))
        assert.strictEqual(driver.calls.at(-1), "stopReading")
        assert.deepStrictEqual(pull(connection), [0])
        assert.strictEqual(driver.calls.at(-1), "stopReading")
        assert.strictEqual(driver.calls.length, 2 * round)
      }
    })

    it("with a readBufferSize of 0 a reader that has left lets one chunk in, which stops the driver", () => {
      const { connection, driver } = open({ readBufferSize: 0 })
      const reader = notified()
      connection.awaitInput(reader)
      reader.leave()
      assert.isFalse(connection.pulling)
      connection.received(bytes(1))
      assert.deepStrictEqual(driver.calls, ["startReading", "stopReading"])
      assert.deepStrictEqual(pull(connection), [0])
    })

    it("a reader that has left gives way to the next one", () => {
      const { connection } = open()
      const first = notified()
      const second = notified()
      connection.awaitInput(first)
      first.leave()
      connection.awaitInput(second)
      assert.isTrue(connection.pulling)
      connection.received(bytes(1))
      assert.strictEqual(second.times(), 1)
    })

    it("a reader that was taken for gone is told that another one came", () => {
      const { connection } = open()
      const first = notified()
      connection.awaitInput(first)
      connection.awaitInput(notified())
      assert.strictEqual(first.times(), 1)
    })

    it("a chunk that comes within startReading is there for the reader", () => {
      const { connection, driver } = open()
      driver.within.startReading = () => connection.received(bytes(1, 7))
      const reader = notified()
      connection.awaitInput(reader)
      assert.strictEqual(reader.times(), 1)
      assert.deepStrictEqual(pull(connection), [7])
    })

    it("the end comes after the data, again and again, and stops nothing", () => {
      const { connection, driver } = open()
      connection.awaitInput(notified())
      connection.received(bytes(1))
      connection.ended()
      assert.strictEqual(connection.state, "readEnded")
      assert.deepStrictEqual([1, 2, 3].map(() => pull(connection)), [[0], null, null])
      assert.isFalse(connection.writeEnded)
      connection.ended()
      assert.deepStrictEqual(driver.calls, ["startReading"])
      assert.strictEqual(connection.firstEnded, "peer")
    })

    it("the end wakes the reader", () => {
      const { connection } = open()
      const reader = notified()
      connection.awaitInput(reader)
      connection.ended()
      assert.strictEqual(reader.times(), 1)
      assert.isNull(pull(connection))
    })

    it("a loss comes after the data", () => {
      const { connection } = open()
      connection.awaitInput(notified())
      connection.received(bytes(1))
      connection.failed("broken")
      assert.deepStrictEqual([1, 2, 3].map(() => pull(connection)), [[0], "lost", "lost"])
    })

    it("an end that has come stays an end when the carrier fails later", () => {
      const { connection } = open()
      connection.awaitInput(notified())
      connection.received(bytes(1))
      connection.ended()
      connection.failed("broken")
      assert.deepStrictEqual([1, 2, 3].map(() => pull(connection)), [[0], null, null])
    })

    it("an abort drops what was not taken, but not the end that was", () => {
      const { connection } = open()
      connection.awaitInput(notified())
      connection.received(bytes(1))
      connection.abort()
      assert.strictEqual(connection.unreadBytes, 0)
      assert.strictEqual(pull(connection), "lost")

      const other = open().connection
      other.awaitInput(notified())
      other.ended()
      assert.isNull(pull(other))
      other.abort()
      assert.isNull(pull(other))
    })

    it("an abort wakes the reader", () => {
      const { connection } = open()
      const reader = notified()
      connection.awaitInput(reader)
      connection.abort()
      assert.strictEqual(reader.times(), 1)
      assert.strictEqual(pull(connection), "lost")
    })

    it("a close drops what was not taken, fails the reader, and reads on to discard", () => {
      const { connection, driver } = open()
      const reader = notified()
      connection.awaitInput(reader)
      connection.close()
      assert.strictEqual(reader.times(), 1)
      assert.strictEqual(pull(connection), "discarded")
      connection.received(bytes(100))
      assert.deepStrictEqual([connection.unreadBytes, connection.bytesRead], [0, 100])
      assert.strictEqual(pull(connection), "discarded")
      connection.ended()
      assert.strictEqual(pull(connection), "discarded")
      assert.deepStrictEqual(driver.calls, ["startReading", "end"])
    })

    it("a close starts the driver again that was stopped, and nothing stops it any more", () => {
      const { connection, driver } = open({ readBufferSize: 0 })
      const reader = notified()
      connection.awaitInput(reader)
      connection.received(bytes(1))
      assert.strictEqual(driver.calls.at(-1), "stopReading")
      connection.close()
      assert.deepStrictEqual(driver.calls.slice(2), ["startReading", "end"])
      connection.received(bytes(100))
      assert.strictEqual(driver.count("stopReading"), 1)
    })

    it("what is discarded lets the event loop turn, and goes on until the deadline", () => {
      const { connection, driver, timers } = open({ lingerTimeout: 100 })
      const more = () => {
        let reads = 0
        while (driver.calls.at(-1) !== "stopReading" && reads < 1000) {
          connection.received(bytes(1))
          reads++
        }
        return reads
      }
      connection.close()
      connection.finished()
      assert.deepStrictEqual([more(), driver.calls.splice(0)], [65, ["startReading", "end", "stopReading"]])
      // One that was under way.
      connection.received(bytes(1))
      timers.turn()
      assert.deepStrictEqual([more(), driver.calls.splice(0)], [65, ["startReading", "stopReading"]])
      timers.advance(100)
      timers.turn()
      assert.deepStrictEqual(driver.calls, ["release"])
    })

    it("a close before the first pull reads, to discard", () => {
      const { connection, driver } = open()
      connection.close()
      assert.deepStrictEqual(driver.calls, ["startReading", "end"])
    })

    it("a close after the end was taken leaves the end", () => {
      const { connection } = open()
      connection.awaitInput(notified())
      connection.ended()
      connection.close()
      assert.isNull(pull(connection))
    })

    it("a close before the data was taken that came before the end leaves no end", () => {
      const { connection } = open()
      connection.awaitInput(notified())
      connection.received(bytes(1))
      connection.ended()
      connection.close()
      assert.strictEqual(pull(connection), "discarded")
    })

    it("a chunk that a reader has found stays until it is taken, also through a close and an abort", () => {
      for (const end of ["close", "abort"] as const) {
        const { connection } = open()
        connection.awaitInput(notified())
        connection.received(bytes(1, 7))
        assert.strictEqual(connection.readiness(), "ready")
        connection[end]()
        assert.deepStrictEqual(connection.take(), bytes(1, 7), end)
        assert.strictEqual(connection.readiness(), end === "close" ? "discarded" : "lost")
      }
    })

    it("a close between finding the last chunk and taking it leaves no end behind it", () => {
      const { connection } = open()
      connection.received(bytes(1, 7))
      connection.ended()
      assert.strictEqual(connection.readiness(), "ready")
      connection.close()
      assert.deepStrictEqual(connection.take(), bytes(1, 7))
      assert.strictEqual(connection.readiness(), "discarded")
    })

    it("an end that a reader has found stays until it is taken", () => {
      for (const end of ["close", "abort"] as const) {
        const { connection } = open()
        connection.ended()
        assert.strictEqual(connection.readiness(), "ready")
        connection[end]()
        assert.isNull(connection.take())
      }
    })
  })

  describe("unread", () => {
    it("puts bytes in front of the input, the last ones first", () => {
      const { connection } = open()
      connection.awaitInput(notified())
      connection.received(bytes(1, 3))
      connection.unread(bytes(1, 2))
      connection.unread(bytes(1, 1))
      connection.unread(bytes(0))
      assert.deepStrictEqual([1, 2, 3].map(() => pull(connection)), [[1], [2], [3]])
      assert.strictEqual(pull(connection), "pending")
    })

    it("wakes the reader", () => {
      const { connection } = open()
      const reader = notified()
      connection.awaitInput(reader)
      connection.unread(bytes(1))
      assert.strictEqual(reader.times(), 1)
    })

    it("is no input of the carrier", () => {
      const { connection, driver } = open()
      connection.unread(bytes(5))
      assert.strictEqual(connection.bytesRead, 0)
      assert.strictEqual(connection.unreadBytes, 5)
      pull(connection)
      assert.deepStrictEqual(driver.calls, [])
    })

    it("comes before the end and before the loss", () => {
      for (const end of ["ended", "failed"] as const) {
        const { connection } = open()
        connection.awaitInput(notified())
        connection[end]("broken")
        connection.unread(bytes(1, 9))
        assert.deepStrictEqual(pull(connection), [9])
        assert.strictEqual(pull(connection), end === "ended" ? null : "lost")
      }
    })

    it("after a close and after an abort there is nothing to put it back to", () => {
      for (const end of ["close", "abort"] as const) {
        const { connection } = open()
        connection[end]()
        connection.unread(bytes(1))
        assert.strictEqual(connection.unreadBytes, 0)
        assert.strictEqual(pull(connection), end === "close" ? "discarded" : "lost")
        assert.strictEqual(connection.unreadBytes, 0)
      }
    })
  })

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  describe("writing", () => {
    it("gathers all writes of a tick into one, at its end", async () => {
      const { connection, driver } = open()
      connection.push(bytes(1, 1))
      connection.push(bytes(2, 2))
      assert.deepStrictEqual(driver.calls, [])
      assert.strictEqual(connection.writes.buffered, 3)
      await microtasks()
      assert.deepStrictEqual(driver.batches, [[bytes(1, 1), bytes(2, 2)]])
      assert.deepStrictEqual([connection.bytesWritten, connection.writes.buffered], [3, 0])
    })

    it("gathers the writes of each connection by itself", async () => {
      const [one, two] = [open(), open()]
      one.connection.push(bytes(1, 1))
      two.connection.push(bytes(1, 2))
      one.connection.push(bytes(1, 3))
      await microtasks()
      assert.deepStrictEqual([one.driver.written, two.driver.written], [[1, 3], [2]])
      assert.deepStrictEqual([one.driver.batches.length, two.driver.batches.length], [1, 1])
    })

    it("what is written while the driver holds a batch leaves in one write when it is taken", async () => {
      const { connection, driver } = open()
      driver.takesAtOnce = false
      connection.push(bytes(3, 1))
      await microtasks()
      connection.push(bytes(1, 2))
      connection.push(bytes(1, 3))
      await microtasks()
      connection.written(2)
      assert.strictEqual(driver.batches.length, 1)
      connection.written(1)
      assert.deepStrictEqual(driver.batches[1], [bytes(1, 2), bytes(1, 3)])
      assert.deepStrictEqual([connection.bytesWritten, connection.writes.buffered], [3, 2])
    })

    it("a batch has 256 KiB at most", async () => {
      const { connection, driver } = open({ highWaterMark: 1 << 20 })
      connection.push(counting(600 * 1024))
      await microtasks()
      assert.deepStrictEqual(driver.batches.map((batch) => joined(batch).length / 1024), [256, 256, 88])
      assert.deepStrictEqual(joined(driver.batches.flat()), counting(600 * 1024))
    })

    it("a full buffer is handed over before anybody has to wait", () => {
      const { connection, driver } = open({ highWaterMark: 10 })
      connection.push(bytes(10))
      assert.isTrue(connection.admits())
      assert.deepStrictEqual(driver.calls, ["write"])
    })

    it("a full buffer that the driver holds admits nobody, and admits who waits from the low mark down", () => {
      const { connection, driver } = open({ highWaterMark: 10, lowWaterMark: 4 })
      driver.takesAtOnce = false
      connection.push(bytes(10))
      assert.isFalse(connection.admits())
      const writer = notified()
      connection.awaitRoom([bytes(2, 5)], writer)
      connection.written(5)
      assert.strictEqual(writer.times(), 0)
      connection.written(1)
      assert.strictEqual(writer.times(), 1)
      connection.written(4)
      assert.deepStrictEqual(driver.batches.map((batch) => [...joined(batch)]), [Array(10).fill(0), [5, 5]])
    })

    it("a writer that finds room again between its look and its waiting is accepted at once", () => {
      const { connection, driver } = open({ highWaterMark: 10 })
      driver.takesAtOnce = false
      connection.push(bytes(10))
      assert.isFalse(connection.admits())
      connection.written(10)
      const writer = notified()
      const waiter = connection.awaitRoom([bytes(2), bytes(1)], writer)
      assert.deepStrictEqual([writer.times(), waiter.outcome], [1, "accepted"])
      assert.strictEqual(connection.writes.buffered, 3)
      assert.strictEqual(connection.writes.waiting, 0)
    })

    it("a writer of several chunks waits with those for which there is no room", () => {
      const { connection, driver } = open({ highWaterMark: 10 })
      driver.takesAtOnce = false
      const chunks = [bytes(6, 1), bytes(6, 2), bytes(6, 3)]
      assert.isFalse(connection.admitsAll(chunks))
      assert.strictEqual(connection.writes.buffered, 0)
      const writer = notified()
      connection.awaitRoom(chunks, writer)
      assert.deepStrictEqual([writer.times(), connection.writes.buffered, connection.writes.waiting], [0, 12, 1])
      assert.deepStrictEqual(driver.written, [...bytes(6, 1), ...bytes(6, 2)])
      connection.written(12)
      assert.deepStrictEqual([writer.times(), connection.writes.buffered, connection.writes.waiting], [1, 6, 0])
    })

    it("what is buffered is handed over before it has no room for several chunks", () => {
      const { connection, driver } = open({ highWaterMark: 10 })
      connection.push(bytes(6))
      assert.isTrue(connection.admitsAll([bytes(6), bytes(6)]))
      assert.deepStrictEqual(driver.calls, ["write"])
    })

    it("a writer is refused at once when the end or the loss came between its look and its waiting", () => {
      for (const end of ["closeWrite", "close", "abort", "failed"] as const) {
        const { connection, driver } = open({ highWaterMark: 10 })
        driver.takesAtOnce = false
        connection.push(bytes(10))
        assert.isFalse(connection.admits())
        connection[end]("broken")
        const writer = notified()
        const waiter = connection.awaitRoom([bytes(1)], writer)
        assert.deepStrictEqual([writer.times(), waiter.outcome], [1, "refused"], end)
      }
    })

    it("waiters are refused when this side ends, and what was accepted is still sent, then the end", () => {
      for (const end of ["closeWrite", "close"] as const) {
        const { connection, driver } = open({ highWaterMark: 10 })
        driver.takesAtOnce = false
        connection.push(bytes(10))
        connection.admits()
        const writer = notified()
        const waiter = connection.awaitRoom([bytes(1)], writer)
        connection[end]()
        assert.deepStrictEqual([writer.times(), waiter.outcome, connection.writeEnded], [1, "refused", true])
        assert.strictEqual(driver.count("end"), 0)
        connection.written(9)
        assert.strictEqual(driver.count("end"), 0)
        connection.written(1)
        assert.strictEqual(driver.count("end"), 1)
        assert.strictEqual(driver.written.length, 10)
      }
    })

    it("the end goes out in the same tick when nothing is left to send", () => {
      const { connection, driver } = open()
      connection.push(bytes(1))
      connection.closeWrite()
      assert.deepStrictEqual(driver.calls, ["write", "end"])
      assert.isFalse(connection.writeFinished)
      connection.finished()
      assert.isTrue(connection.writeFinished)
      assert.strictEqual(connection.state, "writeEnded")
    })

    it("the end goes out once", async () => {
      const { connection, driver } = open()
      connection.closeWrite()
      connection.closeWrite()
      connection.close()
      connection.send()
      await microtasks()
      assert.strictEqual(driver.count("end"), 1)
    })

    it("waiters are refused by a loss, and nothing accepted is kept", () => {
      for (const end of ["abort", "failed"] as const) {
        const { connection, driver } = open({ highWaterMark: 10 })
        driver.takesAtOnce = false
        connection.push(bytes(12))
        connection.admits()
        const writer = notified()
        const waiter = connection.awaitRoom([bytes(1)], writer)
        connection[end]("broken")
        assert.deepStrictEqual([writer.times(), waiter.outcome, connection.writes.buffered], [1, "refused", 0])
        assert.strictEqual(connection.report?.bytesUnsent, 12)
        assert.deepStrictEqual(driver.calls, ["write", "reset"])
      }
    })

    it("nothing that was scheduled is written after a loss", async () => {
      const { connection, driver } = open()
      connection.push(bytes(1))
      connection.abort()
      await microtasks()
      assert.deepStrictEqual(driver.calls, ["reset"])
    })

    it("a driver that reports too late what it took is not counted", () => {
      const { connection, driver } = open()
      driver.takesAtOnce = false
      connection.push(bytes(5))
      connection.send()
      connection.abort()
      connection.written(5)
      assert.deepStrictEqual([connection.bytesWritten, connection.writes.buffered], [0, 0])
    })

    it("a condition on the bytes is looked at as they are handed over", () => {
      const { connection, driver } = open()
      driver.takesAtOnce = false
      connection.push(bytes(5))
      connection.send()
      const target = connection.writes.accepted
      const flushed = notified()
      connection.awaitCondition(() => connection.handedOver >= target, flushed)
      connection.push(bytes(3))
      connection.written(4)
      assert.strictEqual(flushed.times(), 0)
      connection.written(1)
      assert.strictEqual(flushed.times(), 1)
      assert.strictEqual(connection.handedOver, 5)
    })

    it("a condition that holds already is told at once, and one that was given up never", () => {
      const { connection } = open()
      const early = notified()
      connection.awaitCondition(() => true, early)
      assert.strictEqual(early.times(), 1)
      const never = notified()
      connection.awaitCondition(() => connection.state === "closed", never)()
      connection.abort()
      connection.released()
      assert.strictEqual(never.times(), 0)
    })
  })

  describe("a driver that reports within a call", () => {
    it("written, for all, and returns false", () => {
      const { connection, driver } = open({ highWaterMark: 10, lowWaterMark: 4 })
      driver.takesAtOnce = false
      driver.within.write = () => connection.written(connection.writes.inFlight)
      for (let round = 0; round < 3; round++) {
        connection.push(bytes(4, round))
        connection.push(bytes(4, round))
        connection.send()
      }
      assert.strictEqual(connection.bytesWritten, 24)
      assert.strictEqual(connection.writes.buffered, 0)
      assert.deepStrictEqual(driver.batches.map((batch) => batch.length), [2, 2, 2])
    })

    it("written, for a part", () => {
      const { connection, driver } = open()
      driver.takesAtOnce = false
      driver.within.write = () => connection.written(2)
      connection.push(bytes(3))
      connection.send()
      assert.deepStrictEqual([connection.bytesWritten, connection.writes.inFlight], [2, 1])
      connection.push(bytes(4))
      connection.written(1)
      assert.deepStrictEqual([connection.bytesWritten, connection.writes.inFlight], [5, 2])
    })

    it("finished within end, ended within startReading, released within release", () => {
      const { connection, driver, timers } = open()
      driver.within.end = () => connection.finished()
      driver.within.startReading = () => connection.ended()
      driver.within.release = () => connection.released()
      const closed = notified()
      connection.awaitCondition(() => connection.state === "closed", closed)
      connection.push(bytes(1))
      connection.close()
      assert.deepStrictEqual(driver.calls, ["startReading", "write", "end", "release"])
      assert.deepStrictEqual([connection.state, closed.times(), timers.armed], ["closed", 1, 0])
    })

    it("finished within end, and nothing else: it lingers", () => {
      const { connection, driver, timers } = open()
      driver.within.end = () => connection.finished()
      connection.close()
      assert.deepStrictEqual([connection.state, timers.armed], ["lingering", 1])
    })

    it("released within reset", () => {
      const { connection, driver } = open()
      driver.within.reset = () => connection.released()
      const closed = notified()
      connection.awaitCondition(() => connection.state === "closed", closed)
      connection.abort()
      assert.deepStrictEqual([connection.state, closed.times(), driver.calls], ["closed", 1, ["reset"]])
    })

    it("failed within each call", async () => {
      const acts: {
        readonly [C in Exclude<Call, "reset" | "stopReading">]: (opened: ReturnType<typeof open>) => void
      } = {
        startReading: ({ connection }) => connection.awaitInput(notified()),
        write: ({ connection }) => {
          connection.push(bytes(5))
          connection.send()
        },
        end: ({ connection }) => connection.closeWrite(),
        release: ({ connection }) => {
          connection.ended()
          connection.closeWrite()
          connection.finished()
        }
      }
      for (const [call, act] of Object.entries(acts) as Array<[keyof typeof acts, typeof acts[keyof typeof acts]]>) {
        const opened = open()
        opened.driver.within[call] = () => {
          opened.connection.failed("broken")
          opened.connection.released()
        }
        act(opened)
        await microtasks()
        const { connection, driver } = opened
        assert.strictEqual(connection.state, "closed", call)
        // Once both directions have ended, a failure of the carrier has nothing left to destroy.
        assert.deepStrictEqual(
          lossOf(connection),
          call === "release" ? undefined : { kind: "failed", failure: "broken" }
        )
        assert.strictEqual(driver.calls.at(-1), call === "release" ? "release" : "reset")
        assert.strictEqual(connection.writes.buffered, 0)
      }
    })

    it("failed within write, after it took a part", () => {
      const { connection, driver } = open({ highWaterMark: 10 })
      driver.takesAtOnce = false
      driver.within.write = () => {
        connection.written(3)
        connection.failed("broken")
      }
      connection.push(bytes(10))
      connection.admits()
      assert.deepStrictEqual(
        [connection.report?.bytesWritten, connection.report?.bytesUnsent, connection.writes.buffered],
        [3, 7, 0]
      )
      assert.deepStrictEqual(driver.calls, ["write", "reset"])
    })

    it("failed within write, which returns true", () => {
      const { connection, driver } = open()
      driver.within.write = () => connection.failed("broken")
      connection.push(bytes(5))
      connection.closeWrite()
      assert.deepStrictEqual([connection.bytesWritten, connection.writes.buffered], [0, 0])
      assert.deepStrictEqual(driver.calls, ["write", "reset"])
    })

    it("failed while a close starts to discard", () => {
      const { connection, driver, timers } = open()
      driver.within.startReading = () => connection.failed("broken")
      driver.within.reset = () => connection.released()
      connection.close()
      assert.deepStrictEqual([connection.state, timers.armed], ["closed", 0])
      assert.deepStrictEqual(driver.calls, ["startReading", "reset"])
      assert.strictEqual(connection.report?.phase, "closing")
    })
  })

  // ---------------------------------------------------------------------------
  // ending
  // ---------------------------------------------------------------------------

  describe("ending", () => {
    it("both directions ended, in any order, releases the carrier without a close", () => {
      for (const first of ["peer", "local"] as const) {
        const { connection, driver } = open()
        if (first === "peer") connection.ended()
        connection.closeWrite()
        connection.finished()
        if (first === "local") connection.ended()
        assert.deepStrictEqual(driver.calls, ["end", "release"])
        assert.deepStrictEqual([connection.firstEnded, connection.peerEnded], [first, true])
        connection.released()
        assert.strictEqual(connection.state, "closed")
        assert.isUndefined(connection.report)
      }
    })

    it("both ended with input in hand: it is still there to be taken", () => {
      const { connection, driver } = open()
      connection.awaitInput(notified())
      connection.received(bytes(2))
      connection.ended()
      connection.closeWrite()
      connection.finished()
      connection.released()
      assert.deepStrictEqual([pull(connection), pull(connection)], [[0, 0], null])
      assert.strictEqual(driver.calls.at(-1), "release")
    })

    it("a close waits for the peer's end for lingerTimeout", () => {
      const { connection, driver, timers } = open({ lingerTimeout: 100, closeTimeout: 5000 })
      connection.close()
      connection.finished()
      timers.advance(99)
      assert.strictEqual(connection.state, "lingering")
      timers.advance(1)
      assert.strictEqual(connection.state, "releasing")
      assert.deepStrictEqual([driver.count("release"), connection.peerEnded, timers.armed], [1, false, 0])
      connection.released()
      assert.isUndefined(connection.report)
    })

    it("the linger time begins with this side's end, and is cut by closeTimeout", () => {
      const { connection, timers } = open({ lingerTimeout: 100, closeTimeout: 130 })
      connection.close()
      timers.advance(50)
      connection.finished()
      timers.advance(79)
      assert.strictEqual(connection.state, "lingering")
      timers.advance(1)
      assert.strictEqual(connection.state, "releasing")
    })

    it("a close after this side's end lingers from the close on", () => {
      const { connection, timers } = open({ lingerTimeout: 100 })
      connection.closeWrite()
      connection.finished()
      timers.advance(10_000)
      assert.strictEqual(timers.armed, 0)
      connection.close()
      timers.advance(99)
      assert.strictEqual(connection.state, "lingering")
      timers.advance(1)
      assert.strictEqual(connection.state, "releasing")
    })

    it("closeTimeout aborts, and the report says how much was unsent", () => {
      for (const peerEnds of [false, true]) {
        const { connection, driver, timers } = open({ closeTimeout: 5000 })
        driver.takesAtOnce = false
        connection.push(bytes(9))
        connection.send()
        connection.written(2)
        connection.push(bytes(3))
        connection.close()
        if (peerEnds) connection.ended()
        timers.advance(4999)
        assert.isUndefined(connection.report)
        timers.advance(1)
        assert.deepStrictEqual(connection.report, {
          loss: { kind: "closeTimeout" },
          phase: "closing",
          bytesRead: 0,
          bytesWritten: 2,
          bytesUnsent: 10
        })
        assert.strictEqual(driver.calls.at(-1), "reset")
        assert.strictEqual(pull(connection), "lost")
      }
    })

    it("a second close does not put the deadline off", () => {
      const { connection, timers } = open({ closeTimeout: 5000 })
      connection.ended()
      connection.close()
      timers.advance(4000)
      connection.close()
      timers.advance(1000)
      assert.deepStrictEqual(lossOf(connection), { kind: "closeTimeout" })
    })

    it("no timer is left when it is over, however it ends", () => {
      const ends: ReadonlyArray<(connection: Connection<string>) => void> = [
        (connection) => connection.abort(),
        (connection) => connection.failed("broken"),
        (connection) => {
          connection.finished()
          connection.ended()
        },
        (connection) => {
          connection.ended()
          connection.finished()
        }
      ]
      for (const end of ends) {
        const { connection, timers } = open()
        connection.close()
        assert.strictEqual(timers.armed, 1)
        end(connection)
        connection.released()
        assert.deepStrictEqual([connection.state, timers.armed], ["closed", 0])
      }
    })

    /** How to bring a connection into each state. */
    const into: { readonly [state: string]: (connection: Connection<string>) => void } = {
      open: () => {},
      readEnded: (connection) => connection.ended(),
      writeEnding: (connection) => connection.closeWrite(),
      writeEnded: (connection) => {
        connection.closeWrite()
        connection.finished()
      },
      bothEnding: (connection) => {
        connection.ended()
        connection.closeWrite()
      },
      closing: (connection) => connection.close(),
      lingering: (connection) => {
        connection.close()
        connection.finished()
      },
      releasing: (connection) => {
        connection.ended()
        connection.closeWrite()
        connection.finished()
      },
      resetting: (connection) => connection.abort(),
      closed: (connection) => {
        connection.abort()
        connection.released()
      }
    }

    for (const [state, reach] of Object.entries(into)) {
      describe(`in ${state}`, () => {
        it("a close, both ends and the release close it, with one end and one release or reset", () => {
          const { connection, driver, timers } = open()
          reach(connection)
          assert.strictEqual(connection.state, state)
          connection.close()
          connection.close()
          connection.ended()
          if (driver.count("end") > 0) connection.finished()
          connection.released()
          assert.strictEqual(connection.state, "closed")
          assert.isAtMost(driver.count("end"), 1)
          assert.strictEqual(driver.count("release") + driver.count("reset"), 1)
          assert.strictEqual(timers.armed, 0)
        })

        it("abort and close, twice and in any order, end it once", () => {
          for (const order of [["abort", "close"], ["close", "abort"]] as const) {
            const { connection, driver, timers } = open()
            reach(connection)
            const closed = notified()
            connection.awaitCondition(() => connection.state === "closed", closed)
            for (const act of [...order, ...order]) connection[act]()
            connection.released()
            connection.released()
            assert.strictEqual(connection.state, "closed")
            assert.strictEqual(driver.count("release"), state === "releasing" ? 1 : 0)
            assert.strictEqual(driver.count("reset"), 1)
            assert.deepStrictEqual([closed.times(), timers.armed], [1, 0])
          }
        })

        it("a second failure changes nothing", () => {
          const { connection, driver } = open()
          reach(connection)
          connection.failed("first")
          const report = connection.report
          connection.failed("second")
          connection.abort()
          assert.strictEqual(connection.report, report)
          assert.isAtMost(driver.count("reset"), 1)
        })
      })
    }

    it("the loss of a connection says whether it was in use or closing", () => {
      for (const closing of [false, true]) {
        const { connection } = open()
        if (closing) connection.close()
        connection.failed("broken")
        assert.strictEqual(connection.report?.phase, closing ? "closing" : "open")
      }
    })

    it("an abort cuts a release short, and nothing is lost by it", () => {
      const { connection, driver } = open()
      connection.ended()
      connection.closeWrite()
      connection.finished()
      connection.abort()
      assert.deepStrictEqual(driver.calls.slice(-2), ["release", "reset"])
      connection.released()
      assert.deepStrictEqual([connection.state, connection.report, pull(connection)], ["closed", undefined, null])
    })

    it("what comes after the end is over changes nothing", () => {
      const { connection, driver } = open()
      connection.abort()
      connection.released()
      const calls = driver.calls.length
      connection.received(bytes(3))
      connection.ended()
      connection.written(3)
      connection.finished()
      connection.failed("late")
      connection.closeWrite()
      connection.close()
      connection.send()
      assert.strictEqual(driver.calls.length, calls)
      assert.deepStrictEqual([connection.bytesRead, connection.bytesWritten, connection.peerEnded], [0, 0, false])
      assert.deepStrictEqual([connection.state, lossOf(connection)], ["closed", { kind: "aborted" }])
    })

    it("a peer's end that comes after a clean end does not change how it ended", () => {
      const { connection, timers } = open({ lingerTimeout: 100 })
      connection.close()
      connection.finished()
      timers.advance(100)
      connection.released()
      connection.ended()
      assert.isFalse(connection.peerEnded)
    })
  })

  // ---------------------------------------------------------------------------
  // time, fairness
  // ---------------------------------------------------------------------------

  it("remembers when bytes last moved", () => {
    const { connection, driver, timers } = open()
    driver.takesAtOnce = false
    timers.advance(10)
    assert.deepStrictEqual([connection.lastRead, connection.lastWrite], [0, 0])
    connection.awaitInput(notified())
    connection.received(bytes(1))
    timers.advance(10)
    connection.push(bytes(2))
    connection.send()
    assert.deepStrictEqual([connection.lastRead, connection.lastWrite], [10, 0])
    connection.written(1)
    assert.deepStrictEqual([connection.lastRead, connection.lastWrite], [10, 20])
  })

  it("is out of breath after 64 reads and writes, until the event loop has turned", () => {
    const { connection, timers } = open()
    const many = (times: number) => Array.from({ length: times }, () => connection.outOfBreath())
    assert.isFalse(many(64).includes(true))
    assert.isTrue(connection.outOfBreath())
    const breath = notified()
    connection.breathe(breath)
    assert.strictEqual(breath.times(), 0)
    timers.turn()
    assert.strictEqual(breath.times(), 1)
    assert.isFalse(many(64).includes(true))
    connection.turned()
    assert.isFalse(many(64).includes(true))
    assert.isTrue(connection.outOfBreath())
  })

  it("a reader that takes its breath is one, until it leaves or the event loop has turned", () => {
    const { connection, timers } = open()
    let waits = true
    const reader = { waits: () => waits, notify: () => {} }
    connection.breatheReading(reader, reader.notify)
    assert.isTrue(connection.pulling)
    waits = false
    assert.isFalse(connection.pulling)
    waits = true
    timers.turn()
    assert.isFalse(connection.pulling)
  })

  // ---------------------------------------------------------------------------
  // whatever happens, in whatever order
  // ---------------------------------------------------------------------------

  type Step =
    | { readonly act: "write" | "receive"; readonly size: number }
    | { readonly act: "take" | "closeWrite" | "close" | "abort" | "unread" | "microtask" }
    | { readonly act: "written" | "finished" | "ended" | "failed" | "released" }
    | { readonly act: "time"; readonly size: number }

  const usual: ReadonlyArray<Step["act"]> = ["take", "unread", "microtask", "written", "written", "finished"]
  const endings: ReadonlyArray<Step["act"]> = ["closeWrite", "close", "abort", "ended", "failed", "released"]
  const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
    {
      weight: 5,
      arbitrary: FastCheck.record({ act: FastCheck.constantFrom("write", "receive"), size: FastCheck.nat({ max: 9 }) })
    },
    { weight: 6, arbitrary: FastCheck.record({ act: FastCheck.constantFrom(...usual) }) },
    { weight: 2, arbitrary: FastCheck.record({ act: FastCheck.constantFrom(...endings) }) },
    { weight: 1, arbitrary: FastCheck.record({ act: FastCheck.constant("time"), size: FastCheck.nat({ max: 6000 }) }) }
  ) as FastCheck.Arbitrary<Step>

  const limits = FastCheck.record({
    readBufferSize: FastCheck.constantFrom(0, 1, 10),
    highWaterMark: FastCheck.constantFrom(1, 10),
    lowWaterMark: FastCheck.constant(0)
  })

  it.effect.prop(
    "no sequence of calls and events breaks the contract",
    [FastCheck.array(step, { maxLength: 60 }), limits, FastCheck.boolean()],
    ([steps, bounds, takesAtOnce]) =>
      Effect.promise(async () => {
        const { connection, driver, timers } = open(bounds)
        driver.takesAtOnce = takesAtOnce
        /** What is at the far side of the driver, which keeps its promises: it reports only what it was asked for. */
        const asked = () => {
          const last = driver.calls.findLast((call) => call === "startReading" || call === "stopReading")
          return last === "startReading" && !peerEnded && !gone
        }
        let peerEnded = false
        let gone = false
        const lettingGo = () => driver.count("release") + driver.count("reset") > 0
        let callsWhenGone = 0
        const given: Array<number> = []
        const received: Array<number> = []
        const accepted: Array<number> = []
        let closed = 0
        let value = 0
        let waiter: ReturnType<Connection<string>["awaitRoom"]> | undefined
        let waiting: Array<number> = []
        let unreadable: Uint8Array | undefined
        let waitingReader: ReturnType<typeof notified> | undefined
        connection.awaitCondition(() => connection.state === "closed", () => void closed++)
        const settleWaiter = () => {
          if (waiter === undefined || waiter.outcome === "waiting") return
          if (waiter.outcome === "accepted") accepted.push(...waiting)
          waiter = undefined
        }
        for (const { act, ...rest } of steps) {
          const size = (rest as { readonly size?: number }).size ?? 0
          switch (act) {
            case "write": {
              const chunk = counting(size, value)
              value += size
              const room = connection.admits()
              settleWaiter()
              if (connection.report !== undefined || connection.writeEnded || size === 0) break
              if (room) {
                connection.push(chunk)
                accepted.push(...chunk)
              } else if (waiter === undefined) {
                waiting = [...chunk]
                waiter = connection.awaitRoom([chunk], () => {})
              }
              break
            }
            case "receive":
              if (!asked() || lettingGo()) break
              received.push(...counting(size, value))
              connection.received(counting(size, value))
              value += size
              break
            case "take": {
              if (connection.pulling) {
                waitingReader!.leave()
                break
              }
              const readiness = connection.readiness()
              if (readiness === "ready") {
                const chunk = connection.take()
                if (chunk === null) assert.isTrue(peerEnded)
                else given.push(...chunk)
                unreadable = chunk ?? undefined
              } else if (readiness === "pending") {
                connection.awaitInput(waitingReader = notified())
              } else if (readiness === "lost") assert.isDefined(connection.report)
              break
            }
            case "unread": {
              // Only what was just taken goes back, so that the order can be followed.
              if (
                unreadable === undefined || connection.readiness() === "lost" || connection.readiness() === "discarded"
              ) break
              connection.unread(unreadable)
              given.length -= unreadable.length
              unreadable = undefined
              break
            }
            case "microtask":
              await Promise.resolve()
              break
            case "written": {
              const { inFlight } = connection.writes
              if (gone || inFlight === 0) break
              connection.written(Math.ceil(inFlight / 2))
              break
            }
            case "finished":
              if (driver.count("end") > 0 && !connection.writeFinished && !lettingGo()) connection.finished()
              break
            case "ended":
              if (!asked() || lettingGo()) break
              peerEnded = true
              connection.ended()
              break
            case "failed":
              if (!gone) connection.failed("broken")
              break
            case "released":
              if (!lettingGo() || gone) break
              gone = true
              connection.released()
              callsWhenGone = driver.calls.length
              break
            case "time":
              timers.advance(size)
              break
            default:
              connection[act]()
          }
          settleWaiter()
          const sent = driver.written

          // What was accepted is sent in order, whole, and nothing else is.
          if (waiter === undefined) assert.strictEqual(sent.join(), accepted.slice(0, sent.length).join())
          if (connection.report === undefined) {
            assert.strictEqual(connection.bytesWritten + connection.writes.buffered, connection.writes.accepted)
          } else {
            assert.strictEqual(connection.writes.buffered, 0)
            assert.isUndefined(waiter)
          }
          // The end follows the last accepted byte.
          if (driver.count("end") > 0) {
            assert.strictEqual(driver.count("end"), 1)
            assert.isAbove(driver.calls.indexOf("end"), driver.calls.lastIndexOf("write"))
            if (connection.report === undefined) assert.strictEqual(connection.bytesWritten, connection.writes.accepted)
          }
          // What comes out is what came in: in order, with nothing lost before or between, nothing twice.
          assert.strictEqual(given.join(), received.slice(0, given.length).join())
          assert.strictEqual(connection.bytesRead, received.length)
          assert.isAtMost(connection.unreadBytes, bounds.readBufferSize + 2 * 9)
          // It ends once, and the carrier is let alone then.
          assert.strictEqual(closed, connection.state === "closed" ? 1 : 0)
          // An abort cuts a release short, and nothing else asks for both.
          assert.isAtMost(driver.count("release"), 1)
          assert.isAtMost(driver.count("reset"), 1)
          if (driver.count("reset") > 0) assert.strictEqual(driver.calls.at(-1), "reset")
          if (gone) {
            assert.strictEqual(driver.calls.length, callsWhenGone)
            assert.strictEqual(connection.state, "closed")
            assert.strictEqual(timers.armed, 0)
          }
        }
        // Whatever it was, it can be ended.
        connection.abort()
        connection.released()
        assert.strictEqual(connection.state, "closed")
        assert.strictEqual(closed, 1)
        assert.strictEqual(timers.armed, 0)
      }),
    { fastCheck: { numRuns: 150 } }
  )
})
