/**
 * Faults of a transport as its user sees it: in place of the pair in memory stands one that does something else.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import * as Address from "../../../src/Address.ts"
import * as MemoryTransport from "../../../src/memory/MemoryTransport.ts"
import type * as Conformance from "../../../src/testing/Conformance.ts"
import * as Transport from "../../../src/Transport.ts"
import type { Fault } from "./fault.ts"

type T = Transport.Transport

/** Something that can be set. */
const option = <A>(value: A): Transport.TransportOption<A> => {
  let current = value
  return {
    get: () => current,
    set: (value) =>
      Effect.sync(() => {
        current = value
      })
  }
}

/** A transport that is as good as this one, but for what is put in place. */
const but = (transport: T, faults: Partial<T>): T =>
  new Proxy(transport, {
    get: (target, key) => key in faults ? faults[key as keyof T] : Reflect.get(target, key, target)
  })

/** With all capabilities. */
export const good: Conformance.MakePair = (limits) =>
  Effect.map(MemoryTransport.pair({ lingerTimeout: 50, ...limits }), ([left, right]) => {
    const options = { noDelay: option(true), keepAlive: option<Duration.DurationInput | false>(false) }
    return [but(left, { options }), but(right, { options })]
  })

/** Both ends have the fault. */
const both = (fault: (transport: T) => Partial<T>): Conformance.MakePair => (limits) =>
  Effect.map(good(limits), ([left, right]) => [but(left, fault(left)), but(right, fault(right))])

const pulled = (change: (chunk: Uint8Array) => Uint8Array): Conformance.MakePair =>
  both(({ pull }) => ({ pull: Effect.map(pull, (chunk) => chunk === null ? null : change(chunk)) }))

const never = Effect.never
const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)
const notOwned = (limits: Transport.Limits) =>
  Effect.flatMap(Scope.make(), (scope) => Scope.extend(good(limits), scope))
const detached = <A, E>(effect: Effect.Effect<A, E>) => Effect.flatMap(Effect.forkDaemon(effect), Fiber.join)

/** Not a fault, for who says so: the end of one direction is the end of both. */
export const lacking: Conformance.MakePair = both(({ close, closeWrite, pull }) => ({
  closeWrite: Effect.zipRight(close, closeWrite),
  pull: Effect.tap(pull, (chunk) => chunk === null ? Effect.forkDaemon(close) : Effect.void),
  options: { noDelay: undefined, keepAlive: undefined }
}))

export const pairFaults: Record<string, Fault> = {
  "delivers nothing": {
    makePair: both(() => ({ pull: never })),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning"
    ]
  },
  "loses bytes": {
    makePair: pulled((chunk) => chunk.length > 2 ? chunk.subarray(1) : chunk),
    breaks: [
      "chunks of any size arrive whole and in their order",
      "one large write reaches a slow reader whole, who holds no more than its bound",
      "the end comes after the data, and again at each later pull"
    ]
  },
  "changes bytes": {
    makePair: pulled((chunk) => chunk.map((byte) => byte ^ 1)),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning",
      "no byte is taken before the first pull",
      "a pull waits until there is input",
      "bytes that are put back come first, before what follows them",
      "bytes that are put back wake a pull",
      "the end comes after the data, and again at each later pull",
      "a writer that waits goes on when the peer reads",
      "an interrupted pull loses no byte",
      "an interrupted wait for closed changes nothing"
    ]
  },
  "delivers empty chunks": {
    makePair: pulled((chunk) => chunk.length === 1 ? bytes() : chunk),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning",
      "ten thousand tiny writes arrive whole",
      "with no read buffer, input is taken only for a pull",
      "a pull waits until there is input",
      "bytes that are put back wake a pull",
      "bytes that are put back after the end come before it",
      "a write after closeWrite fails with WriteAfterEnd and sends nothing",
      "pulls that are interrupted again and again lose no byte"
    ]
  },
  "holds every chunk back until the next": {
    makePair: both((transport) => {
      let held: Uint8Array = bytes()
      return {
        write: (chunk) => {
          const last = held
          held = chunk
          return transport.write(last)
        }
      }
    }),
    breaks: [
      "a flush waits for the peer to read"
    ]
  },
  "tears chunks": {
    makePair: both(({ write }) => ({
      write: (chunk) =>
        Effect.zipRight(
          write(chunk.subarray(0, chunk.length / 2)),
          Effect.zipRight(Effect.yieldNow(), write(chunk.subarray(chunk.length / 2)))
        )
    })),
    breaks: [
      "writers at the same time never mix their chunks"
    ]
  },
  "writes the chunks of writeAll one by one": {
    makePair: both(({ write }) => ({
      writeAll: (chunks) =>
        Effect.forEach(chunks, (chunk) => Effect.zipRight(Effect.yieldNow(), write(chunk)), { discard: true })
    })),
    breaks: [
      "nothing comes between the chunks of one writeAll",
      "what is no Uint8Array dies and sends nothing"
    ]
  },
  "accepts without a bound": {
    makePair: (limits) => good({ ...limits, highWaterMark: 1e9 }),
    breaks: [
      "the outgoing queue is the write buffer, with false for a failure"
    ]
  },
  "accepts at no time": {
    makePair: both(() => ({ write: () => never })),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning"
    ]
  },
  "suspends the writer that reaches the mark": {
    makePair: both((transport) => ({
      write: (chunk) => Effect.zipRight(transport.write(chunk), transport.flush)
    })),
    breaks: [
      "reading ahead of the consumer is bounded",
      "against a peer that does not read, a writer suspends within the high-water mark and one chunk"
    ]
  },
  "lets the last writer in first": {
    makePair: both((transport) => {
      const waiting: Array<Uint8Array> = []
      return {
        write: (chunk) => {
          if (transport.stats().buffered === 0 || chunk.length > 1) return transport.write(chunk)
          waiting.unshift(chunk)
          return Effect.zipRight(
            transport.flush,
            Effect.suspend(() => transport.write(waiting.shift() ?? bytes()))
          )
        },
        stats: () => ({ ...transport.stats(), writersWaiting: waiting.length })
      }
    }),
    breaks: [
      "writers that wait are let in by the order of their calls",
      "an interrupted write that waited takes back its own chunk, and only that",
      "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
      "the write that reaches the high-water mark exactly does not wait, the next one does"
    ]
  },
  "takes anything for bytes": {
    makePair: both((transport) => ({
      write: (chunk) => transport.write(Uint8Array.from((chunk as unknown) instanceof Uint8Array ? chunk : [])),
      writeAll: (chunks) => transport.writeAll([...chunks].filter((chunk) => (chunk as unknown) instanceof Uint8Array))
    })),
    breaks: [
      "what is no Uint8Array dies and sends nothing"
    ]
  },
  "flushes nothing": {
    makePair: both(() => ({ flush: Effect.void })),
    breaks: [
      "after a flush nothing is buffered, and the writer may use its buffer again",
      "a flush waits for the peer to read",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls"
    ]
  },
  "has a queue that is not its buffer": {
    makePair: (limits) =>
      Effect.flatMap(Queue.unbounded<Uint8Array>(), (outgoing) => both(() => ({ outgoing }))(limits)),
    breaks: [
      "the outgoing queue is the write buffer, with false for a failure"
    ]
  },
  "drops what is offered to its queue unsafely": {
    makePair: both(({ outgoing }) => ({ outgoing: Object.create(outgoing, { unsafeOffer: { value: () => true } }) })),
    breaks: [
      "the outgoing queue is the write buffer, with false for a failure"
    ]
  },
  "denies that it accepts what is offered to its queue unsafely": {
    makePair: both(({ outgoing }) => ({
      outgoing: Object.create(outgoing, {
        unsafeOffer: { value: (chunk: Uint8Array) => outgoing.unsafeOffer(chunk) && false }
      })
    })),
    breaks: [
      "the outgoing queue is the write buffer, with false for a failure"
    ]
  },
  "has a sink that swallows": {
    makePair: both(() => ({ sink: Sink.drain })),
    breaks: [
      "a stream into a sink is an echo that ends with the peer"
    ]
  },
  "has a sink that ends the writing": {
    makePair: both(({ closeWrite, sink }) => ({ sink: Sink.mapEffect(sink, () => closeWrite) })),
    breaks: [
      "a sink leaves the write side open"
    ]
  },
  "has a stream that reads ahead": {
    makePair: both(({ stream }) => ({ stream: Stream.buffer(stream, { capacity: 2 }) })),
    breaks: [
      "a stream that is left takes nothing beyond what it gave"
    ]
  },
  "has a stream that takes every loss for the end": {
    makePair: both(({ stream }) => ({ stream: Stream.catchAll(stream, () => Stream.empty) })),
    breaks: [
      "a stream does not take a reset for an end",
      "a pull that waits fails when this side aborts, and so does a later one"
    ]
  },
  "iterates once to look, and once to write": {
    makePair: both(({ writeAll }) => ({
      writeAll: (chunks) => Effect.suspend(() => Effect.zipRight(Effect.sync(() => [...chunks]), writeAll(chunks)))
    })),
    breaks: [
      "writeAll iterates once"
    ]
  },
  "tells of no bytes that wait": {
    makePair: both(({ stats }) => ({ stats: () => ({ ...stats(), buffered: 0 }) })),
    breaks: [
      "stats tell what is buffered, and that the peer has ended"
    ]
  },
  "does not tell that the peer has ended": {
    makePair: both(({ stats }) => ({ stats: () => ({ ...stats(), peerEnded: false }) })),
    breaks: [
      "stats tell what is buffered, and that the peer has ended"
    ]
  },
  "reads without being asked": {
    makePair: (limits) =>
      Effect.flatMap(good(limits), ([left, right]) => {
        const early = Effect.runFork(right.pull)
        let first = true
        const pull = Effect.suspend(() => {
          if (!first) return right.pull
          first = false
          return Fiber.join(early)
        })
        return Effect.as(Effect.yieldNow(), [left, but(right, { pull })] as const)
      }),
    breaks: [
      "no byte is taken before the first pull"
    ]
  },
  "reads ahead without a bound": {
    makePair: (limits) => good({ ...limits, readBufferSize: 1e9 }),
    breaks: [
      "reading ahead of the consumer is bounded"
    ]
  },
  "lets many pull at once": {
    makePair: both((transport) => ({
      pull: Effect.suspend(() => transport.stats().pulling ? never : transport.pull)
    })),
    breaks: [
      "a second pull at the same time dies, and the first goes on"
    ]
  },
  "uses its read buffer again": {
    makePair: both((transport) => {
      const buffer = new Uint8Array(100_000)
      return {
        pull: Effect.map(transport.pull, (chunk) => {
          if (chunk === null) return null
          buffer.set(chunk)
          return buffer.subarray(0, chunk.length)
        })
      }
    }),
    breaks: [
      "chunks of any size arrive whole and in their order",
      "ten thousand tiny writes arrive whole",
      "one large write reaches a slow reader whole, who holds no more than its bound",
      "much goes both ways at once",
      "bytes that were pulled stay as they are",
      "bytes that are put back come first, before what follows them",
      "a writer that waits goes on when the peer reads",
      "writers that wait are let in by the order of their calls",
      "after a flush nothing is buffered, and the writer may use its buffer again",
      "closeWrite sends what was accepted, and refuses the write that waits",
      "an interrupted writeAll takes back what was not accepted",
      "an interrupted flush changes nothing"
    ]
  },
  "forgets what is put back": {
    makePair: both(() => ({ unread: () => Effect.void })),
    breaks: [
      "bytes that are put back after the end come before it"
    ]
  },
  "gives forEach nothing": {
    makePair: both(() => ({ forEach: () => never })),
    breaks: [
      "forEach gives everything in its order, and is over at the end",
      "forEach gives first what was put back"
    ]
  },
  "loses bytes in forEach": {
    makePair: both((transport) => ({
      forEach: (f) => transport.forEach((chunk) => f(chunk.length > 2 ? chunk.subarray(1) : chunk))
    })),
    breaks: [
      "forEach gives everything in its order, and is over at the end",
      "an echo by forEach reads no further than its peer reads what comes back"
    ]
  },
  "runs what forEach is given beside it": {
    makePair: both((transport) => ({
      forEach: (f) => transport.forEach((chunk) => Effect.forkDaemon(f(chunk)))
    })),
    breaks: [
      "forEach waits with a chunk until the Effect for the last one is over",
      "a failure within forEach ends it, a throw is a defect, and the rest is there for the next reader",
      "an interrupted forEach interrupts the Effect that runs, and leaves the rest"
    ]
  },
  "lets many forEach at once": {
    makePair: both((transport) => ({
      forEach: (f) => Effect.suspend(() => transport.stats().pulling ? never : transport.forEach(f))
    })),
    breaks: [
      "beside a forEach that waits another reader dies, and the first goes on"
    ]
  },
  "never ends a forEach": {
    makePair: both((transport) => ({ forEach: (f) => Effect.exit(transport.forEach(f)).pipe(Effect.zipRight(never)) })),
    breaks: [
      "forEach gives everything in its order, and is over at the end",
      "a failure within forEach ends it, a throw is a defect, and the rest is there for the next reader",
      "a forEach that waits fails when this side closes, and when it aborts"
    ]
  },
  "accepts without a bound in forEach": {
    makePair: both((transport) => ({
      forEach: (f) => {
        const chunks: Array<Uint8Array> = []
        const collect = transport.forEach((chunk) => Effect.sync(() => chunks.push(chunk)))
        return Effect.zipRight(collect, Effect.forEach(chunks, f, { discard: true }))
      }
    })),
    breaks: [
      "an echo by forEach reads no further than its peer reads what comes back"
    ]
  },
  "loses what an interrupted forEach has taken": {
    makePair: both(({ pull }) => ({ forEach: Transport.forEachFromPull(detached(pull)) })),
    breaks: [
      "an interrupted forEach that waits takes nothing",
      "a forEach that is interrupted again and again loses no byte"
    ]
  },
  "goes on with an interrupted forEach": {
    makePair: both((transport) => ({
      forEach: <E, R>(f: (chunk: Uint8Array) => Effect.Effect<unknown, E, R>) =>
        Effect.flatMap(Effect.forkDaemon(transport.forEach(f)), Fiber.join)
    })),
    breaks: [
      "an interrupted forEach that waits takes nothing",
      "an interrupted forEach interrupts the Effect that runs, and leaves the rest"
    ]
  },
  "never ends": {
    makePair: both(({ pull }) => ({
      pull: Effect.flatMap(pull, (chunk) => chunk === null ? never : Effect.succeed(chunk))
    })),
    breaks: [
      "chunks of any size arrive whole and in their order",
      "ten thousand tiny writes arrive whole"
    ]
  },
  "ends once": {
    makePair: both((transport) => {
      let ended = false
      return {
        pull: Effect.suspend(() =>
          ended ? never : Effect.map(transport.pull, (chunk) => {
            ended = chunk === null
            return chunk
          })
        )
      }
    }),
    breaks: [
      "the end comes after the data, and again at each later pull",
      "bytes that are put back after the end come before it"
    ]
  },
  "takes a loss for an end": {
    makePair: both(({ pull }) => ({ pull: Effect.orElseSucceed(pull, () => null) })),
    breaks: [
      "a pull that waits fails when this side closes, and so does a later one",
      "input that was not pulled is given up by close",
      "a pull that waits fails when this side aborts, and so does a later one",
      "a reset is not taken for an end",
      "a pull that waits fails when the peer resets",
      "data and then a reset is no clean end",
      "a reset after this side has ended is no clean end"
    ]
  },
  "gives data after a loss": {
    makePair: both(({ pull }) => ({ pull: Effect.orElseSucceed(pull, () => bytes(1)) })),
    breaks: [
      "a pull that waits fails when this side closes, and so does a later one",
      "input that was not pulled is given up by close",
      "a pull that waits fails when this side aborts, and so does a later one",
      "what comes after the peer's abort is a loss or the end: no data, no waiting",
      "a reset is not taken for an end",
      "a pull that waits fails when the peer resets"
    ]
  },
  "waits for ever after a loss": {
    makePair: both((transport) => ({
      pull: Effect.catchAll(transport.pull, () => never),
      write: (chunk) => Effect.catchAll(transport.write(chunk), () => never),
      flush: Effect.catchAll(transport.flush, () => never),
      closeWrite: Effect.catchAll(transport.closeWrite, () => never)
    })),
    breaks: [
      "a write after closeWrite fails with WriteAfterEnd and sends nothing",
      "closeWrite sends what was accepted, and refuses the write that waits"
    ]
  },
  "writes successfully after a loss": {
    makePair: both((transport) => ({
      write: (chunk) => Effect.ignore(transport.write(chunk)),
      writeAll: (chunks) => Effect.ignore(transport.writeAll(chunks)),
      flush: Effect.ignore(transport.flush),
      closeWrite: Effect.ignore(transport.closeWrite)
    })),
    breaks: [
      "a write after closeWrite fails with WriteAfterEnd and sends nothing",
      "closeWrite sends what was accepted, and refuses the write that waits",
      "a write that waits fails when this side closes, and so does a later one",
      "an interrupted closeWrite still ends the writing",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls",
      "a closeWrite that waits fails when this side aborts",
      "a write that waits fails when the peer is gone"
    ]
  },
  "does not end its writing": {
    makePair: both(() => ({ closeWrite: Effect.void })),
    breaks: [
      "the end of a peer that sent nothing comes to a pull that waits"
    ]
  },
  "closes in place of half-closing": {
    makePair: both(({ close }) => ({ closeWrite: close })),
    breaks: [
      "much goes both ways at once",
      "a stream into a sink is an echo that ends with the peer",
      "after closeWrite reading goes on",
      "a closeWrite in the midst of the input loses none of it",
      "after the peer's end writing goes on",
      "the peer's end does not disturb a write that waits",
      "both directions ended is closed, with no further call",
      "a reset after this side has ended is no clean end",
      "a closeWrite that waits fails when this side aborts"
    ]
  },
  "closes in answer to the peer's end": {
    makePair: both((transport) => ({
      pull: Effect.tap(transport.pull, (chunk) => chunk === null ? Effect.forkDaemon(transport.abort) : Effect.void)
    })),
    breaks: [
      "after closeWrite reading goes on",
      "after the peer's end writing goes on",
      "closeWrite is idempotent",
      "the peer's end does not disturb a write that waits",
      "both directions ended is closed, with no further call",
      "with no linger time, close does not wait for the peer's end"
    ]
  },
  "ends its writing once": {
    makePair: both((transport) => {
      let ended = false
      return {
        closeWrite: Effect.suspend(() => {
          if (ended) return Effect.die("ended already")
          ended = true
          return transport.closeWrite
        })
      }
    }),
    breaks: [
      "closeWrite is idempotent"
    ]
  },
  "waits before it ends": {
    makePair: both((transport) => ({
      closeWrite: Effect.zipRight(transport.flush, transport.closeWrite),
      close: Effect.zipRight(Effect.ignore(transport.flush), transport.close)
    })),
    breaks: [
      "closeWrite sends what was accepted, and refuses the write that waits",
      "a write that waits fails when this side closes, and so does a later one"
    ]
  },
  "aborts in place of closing": {
    makePair: both(({ abort }) => ({ close: abort })),
    breaks: [
      "close with unread input loses nothing of what was sent",
      "a write that waits fails when this side closes, and so does a later one",
      "close is idempotent, one after the other and at the same time",
      "close after the peer's end needs no waiting",
      "close after closeWrite sends what was accepted",
      "with no linger time, close does not wait for the peer's end",
      "an interrupted close goes on by itself",
      "after an interrupted write and an interrupted pull both sides close cleanly",
      "both sides may close at the same time",
      "abort after a close that is done changes nothing"
    ]
  },
  "closes in place of aborting": {
    makePair: both(({ close }) => ({ abort: close })),
    breaks: [
      "data and then a reset is no clean end",
      "abort is idempotent, and a close after it changes nothing"
    ]
  },
  "neither closes nor aborts": {
    makePair: both(() => ({ close: Effect.void, abort: Effect.void })),
    breaks: [
      "input that was not pulled is given up by close",
      "close sends everything that was accepted, and then the end"
    ]
  },
  "never says that it is closed": {
    makePair: both(() => ({ closed: never })),
    breaks: [
      "both directions ended is closed, with no further call",
      "close sends everything that was accepted, and then the end"
    ]
  },
  "closes once": {
    makePair: both((transport) => {
      let closed = false
      const once = (effect: Effect.Effect<void>) =>
        Effect.suspend(() => {
          if (closed) return Effect.die("closed already")
          closed = true
          return effect
        })
      return { close: once(transport.close), abort: once(transport.abort) }
    }),
    breaks: [
      "close sends everything that was accepted, and then the end",
      "close is idempotent, one after the other and at the same time",
      "a close that takes longer than closeTimeout aborts, and tells what is unsent",
      "abort leaves nothing, and closed says so",
      "abort cuts a close short",
      "abort after a close that is done changes nothing",
      "abort is idempotent, and a close after it changes nothing",
      "abort in the moment of a close is an abort"
    ]
  },
  "says each time anew how it was closed": {
    makePair: both(({ closed }) => ({ closed: Effect.map(closed, (reason) => ({ ...reason })) })),
    breaks: [
      "closed is one value for everybody, now and later"
    ]
  },
  "says that every close is clean": {
    makePair: both((transport) => ({
      closed: Effect.map(transport.closed, () => ({
        _tag: "Clean",
        firstEnded: "peer",
        peerEnded: true,
        bytesRead: 0,
        bytesWritten: 0
      }))
    })),
    breaks: [
      "writing to a peer that is gone fails in the end, and from then on"
    ]
  },
  "is closed from the beginning": {
    makePair: both(() => ({
      closed: Effect.succeed({ _tag: "Clean", firstEnded: "local", peerEnded: true, bytesRead: 0, bytesWritten: 0 })
    })),
    breaks: [
      "a loss tells what was read, written and left unsent",
      "abort cuts a close short",
      "writing to a peer that is gone fails in the end, and from then on",
      "closed is one value for everybody, now and later"
    ]
  },
  "says that every close is a loss": {
    makePair: both((transport) => ({
      closed: Effect.map(
        transport.closed,
        (reason) => ({ _tag: "Lost", error: { ...reason, _tag: "ConnectionFailed" } as never })
      )
    })),
    breaks: [
      "close with unread input loses nothing of what was sent",
      "close after the peer's end needs no waiting",
      "close after closeWrite sends what was accepted",
      "after an interrupted write and an interrupted pull both sides close cleanly",
      "both sides may close at the same time"
    ]
  },
  "waits for a peer that does not end": {
    makePair: (limits) => good({ ...limits, lingerTimeout: "1 minutes", closeTimeout: "1 minutes" }),
    breaks: [
      "with no linger time, close does not wait for the peer's end",
      "a close that takes longer than closeTimeout aborts, and tells what is unsent"
    ]
  },
  "leaves its counters where they are": {
    makePair: both((transport) => {
      const before = transport.stats()
      return { stats: () => before }
    }),
    breaks: [
      "the counters of both ends agree"
    ]
  },
  "keeps what it has read": {
    makePair: both((transport) => ({ stats: () => ({ ...transport.stats(), unread: 1 }) })),
    breaks: [
      "with no read buffer, input is taken only for a pull",
      "close sends everything that was accepted, and then the end",
      "a close that takes longer than closeTimeout aborts, and tells what is unsent",
      "a write that waits fails when the peer is gone",
      "abort leaves nothing, and closed says so",
      "abort in the moment of a close is an abort",
      "a Scope that ends with success closes",
      "a Scope that ends with a failure aborts",
      "a Scope that ends with an interruption aborts"
    ]
  },
  "loses what an interrupted pull has taken": {
    makePair: both(({ pull }) => ({ pull: detached(pull) })),
    breaks: [
      "pulls that are interrupted again and again lose no byte"
    ]
  },
  "sends what an interrupted write has not": {
    makePair: both((transport) => ({
      write: (chunk) => detached(transport.write(chunk)),
      writeAll: (chunks) => detached(transport.writeAll(chunks))
    })),
    breaks: [
      "an interrupted write that waited takes back its own chunk, and only that",
      "an interrupted writeAll takes back what was not accepted"
    ]
  },
  "aborts when it is interrupted": {
    makePair: both((transport) => ({
      flush: Effect.onInterrupt(transport.flush, () => transport.abort),
      closeWrite: Effect.onInterrupt(transport.closeWrite, () => transport.abort),
      close: Effect.onInterrupt(transport.close, () => transport.abort),
      closed: Effect.onInterrupt(transport.closed, () => transport.abort)
    })),
    breaks: [
      "an interrupted flush changes nothing",
      "an interrupted closeWrite still ends the writing",
      "an interrupted close goes on by itself",
      "an interrupted wait for closed changes nothing"
    ]
  },
  "outlives its Scope": {
    makePair: notOwned,
    breaks: [
      "nothing is left of a pair that was used: no fiber, no timer, nobody who waits",

      "a Scope that ends with success closes",
      "a Scope that ends with a failure aborts"
    ]
  },
  "is aborted by its Scope": {
    makePair: (limits) =>
      Effect.tap(
        notOwned(limits),
        ([left, right]) => Effect.addFinalizer(() => Effect.zipRight(left.abort, right.abort))
      ),
    breaks: [
      "a Scope that ends with success closes"
    ]
  },
  "is closed by its Scope": {
    makePair: (limits) =>
      Effect.tap(
        notOwned(limits),
        ([left, right]) =>
          Effect.addFinalizer(() => Effect.all([left.close, right.close], { concurrency: "unbounded" }))
      ),
    breaks: [
      "a Scope that ends with a failure aborts",
      "a Scope that ends with an interruption aborts"
    ]
  },
  "has an address for each look": {
    makePair: both(() => {
      let port = 1
      return {
        get localAddress() {
          return Address.tcp("127.0.0.1", port++)
        }
      }
    }),
    breaks: [
      "a loss tells what was read, written and left unsent",
      "each side's local address is the other side's remote address",
      "addresses stay after the end"
    ]
  },
  "has an option that does nothing": {
    makePair: both(() => ({
      options: { noDelay: { get: () => true, set: () => Effect.void }, keepAlive: undefined }
    })),
    breaks: [
      "noDelay has the value last set"
    ]
  },
  "is no transport by its own account": {
    makePair: (limits) =>
      Effect.map(good(limits), ([left, right]) => [
        new Proxy(left, { has: (target, key) => key !== Transport.TypeId && key in target }),
        right
      ]),
    breaks: [
      "both ends say that they are transports"
    ]
  },
  "writes the buffer behind a view": {
    makePair: both(({ write, writeAll }) => {
      const whole = ({ buffer }: Uint8Array) => new Uint8Array(buffer)
      return {
        write: (chunk) => write(whole(chunk)),
        writeAll: (chunks) => writeAll([...chunks].map(whole))
      }
    }),
    breaks: [
      "views of larger buffers, and subclasses of Uint8Array, are bytes as well",
      "what is no Uint8Array dies and sends nothing",
      "forEach gives everything in its order, and is over at the end",
      "a reader that rests again and again gets everything in its order"
    ]
  },
  "sends the same byte again and again": {
    makePair: both(({ write }) => {
      let last: Uint8Array | undefined
      return { write: (chunk) => write(chunk.length === 1 ? last ??= chunk : chunk) }
    }),
    breaks: [
      "ping and pong go back and forth",
      "what is interrupted before it begins does nothing",
      "a pull that times out has taken nothing, and the next one goes on",
      "what is no Uint8Array dies and sends nothing"
    ]
  },
  "acts when it is asked, and not when it is run": {
    makePair: both((transport) => ({
      write: (chunk) => {
        const fiber = Effect.runFork(transport.write(chunk))
        return Fiber.join(fiber)
      }
    })),
    breaks: [
      "what is interrupted before it begins does nothing",
      "an operation does nothing until it is run, and runs anew each time",
      "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
      "the write that reaches the high-water mark exactly does not wait, the next one does"
    ]
  },
  "does not tell when bytes moved": {
    makePair: both((transport) => ({ stats: () => ({ ...transport.stats(), lastRead: 0, lastWrite: 0 }) })),
    breaks: [
      "stats tell when bytes last moved"
    ]
  },
  "forgets its counters when it ends": {
    makePair: both((transport) => ({
      stats: () =>
        transport.outgoing.isActive() ? transport.stats() : { ...transport.stats(), bytesRead: 0, bytesWritten: 0 }
    })),
    breaks: [
      "the counters stay as they were when it ended",
      "a Scope that ends with success sends what was accepted",
      "a close that takes longer than closeTimeout aborts, and tells what is unsent"
    ]
  },
  "takes its time to abort": {
    makePair: both(({ abort }) => ({ abort: Effect.zipRight(Effect.sleep("20 millis"), abort) })),
    breaks: [
      "an interrupted abort goes on by itself"
    ]
  },
  "is not flushed any more once it is closed": {
    makePair: both((transport) => ({
      flush: Effect.suspend(() => transport.outgoing.isActive() ? transport.flush : Effect.die("closed"))
    })),
    breaks: [
      "a flush and a closeWrite after a close find nothing to do",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls"
    ]
  },
  "accepts what is empty at any time": {
    makePair: both(({ write }) => ({ write: (chunk) => chunk.length === 0 ? Effect.void : write(chunk) })),
    breaks: [
      "what is no Uint8Array dies and sends nothing",
      "after close every kind of write is refused, the empty one as well",
      "a write after closeWrite fails with WriteAfterEnd and sends nothing"
    ]
  },
  "drops the byte that is written while others are under way": {
    makePair: both((transport) => ({
      write: (chunk) =>
        Effect.suspend(() => transport.write(chunk.length === 1 && transport.stats().buffered > 0 ? bytes() : chunk))
    })),
    breaks: [
      "an operation does nothing until it is run, and runs anew each time",
      "a write that waits is released when the peer closes",
      "ten thousand tiny writes arrive whole",
      "a reader that rests again and again gets everything in its order"
    ]
  },
  "drops what nobody has read when it closes": {
    makePair: both((transport) => ({
      close: Effect.suspend(() =>
        transport.stats().bytesRead === 0 && transport.stats().bytesWritten > 0 ? transport.abort : transport.close
      )
    })),
    breaks: [
      "close is idempotent, one after the other and at the same time",
      "input that was not pulled is given up by close",
      "a flush that waits fails when the close takes too long",
      "a large write, one more byte while it is under way, and a close: all of it arrives"
    ]
  },
  "sends after an abort, by another way": {
    makePair: (limits) =>
      Effect.map(good(limits), ([left, right]) => {
        const late: Array<Uint8Array> = []
        const pull: T["pull"] = Effect.suspend(() => {
          const chunk = late.shift()
          if (chunk !== undefined) return Effect.succeed(chunk)
          return Effect.catchAll(left.pull, (error) => late.length > 0 ? pull : Effect.fail(error))
        })
        const write: T["write"] = (chunk) =>
          Effect.tapError(right.write(chunk), () => Effect.sync(() => late.push(chunk)))
        return [but(left, { pull }), but(right, { write })] as const
      }),
    breaks: [
      "abort from within forEach ends it, and nothing that is written after it is sent"
    ]
  },
  "succeeds with every second write after a loss": {
    makePair: both((transport) => {
      let count = 0
      return {
        write: (chunk) =>
          Effect.catchAll(transport.write(chunk), (error) => count++ % 2 === 0 ? Effect.fail(error) : Effect.void)
      }
    }),
    breaks: [
      "a thousand writes after a loss fail one by one, and harm nobody",
      "writing to a peer that is gone fails in the end, and from then on",
      "writing to a peer that has closed fails in the end, and from then on",
      "a write after closeWrite fails with WriteAfterEnd and sends nothing"
    ]
  },
  "closes with another reason when it is closed again": {
    makePair: both((transport) => {
      let closes = 0
      return {
        close: Effect.suspend(() => {
          closes++
          return transport.close
        }),
        closed: Effect.map(transport.closed, (reason) => closes === 0 ? reason : { ...reason })
      }
    }),
    breaks: [
      "close after both directions have ended changes nothing"
    ]
  },
  "dies when its Scope is closed again": {
    makePair: (limits) =>
      Effect.tap(
        good(limits),
        ([left]) => Effect.addFinalizer(() => Effect.flatMap(left.abort, () => Effect.die("closed already")))
      ),
    breaks: [
      "both ends say that they are transports",
      "addresses stay after the end",
      "each side's local address is the other side's remote address",
      "keepAlive has the value last set"
    ]
  },
  "drops on its Scope's end what was accepted": {
    makePair: (limits) =>
      Effect.tap(good(limits), ([left, right]) => Effect.addFinalizer(() => Effect.zipRight(left.abort, right.abort))),
    breaks: [
      "a Scope that ends with success closes",
      "a Scope that ends with success sends what was accepted",
      "a Scope that is closed by two fibers, and then once more, closes once"
    ]
  },
  "leaves a fiber behind": {
    makePair: (limits) => Effect.zipLeft(good(limits), Effect.forkDaemon(never)),
    breaks: [
      "both ends say that they are transports",
      "addresses stay after the end",
      "each side's local address is the other side's remote address",
      "keepAlive has the value last set"
    ]
  },
  "leaves a timer behind": {
    makePair: (limits) => Effect.zipLeft(good(limits), Effect.forkDaemon(Effect.sleep("1 hour"))),
    breaks: [
      "both ends say that they are transports",
      "addresses stay after the end",
      "each side's local address is the other side's remote address",
      "keepAlive has the value last set"
    ]
  },
  "gives up a write with the flush that waits beside it": {
    makePair: both((transport) => {
      let flushing = 0
      const flush = Effect.suspend(() => {
        flushing++
        return flushing > 1 ? never : transport.flush
      })
      return { flush }
    }),
    breaks: [
      "all members may be used at the same time, again and again",
      "whoever waits at the same time, to write and for a flush, goes on when the peer reads",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls"
    ]
  },
  "ends every flush with the writing": {
    makePair: both((transport) => {
      let ended = false
      return {
        closeWrite: Effect.suspend(() => {
          ended = true
          return transport.closeWrite
        }),
        flush: Effect.race(transport.flush, Effect.repeat(Effect.sleep(1), { until: () => ended }))
      }
    }),
    breaks: [
      "a flush that waits fails when the close takes too long",
      "closeWrite does not disturb a flush that waits",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls"
    ]
  },
  "waits for a closed peer for ever": {
    makePair: both((transport) => ({
      write: (chunk) =>
        Effect.catchAll(transport.write(chunk), (error) => error._tag === "WriteAfterEnd" ? Effect.fail(error) : never)
    })),
    breaks: [
      "a thousand writes after a loss fail one by one, and harm nobody",
      "writing to a peer that is gone fails in the end, and from then on",
      "writing to a peer that has closed fails in the end, and from then on",
      "abort from within forEach ends it, and nothing that is written after it is sent"
    ]
  },
  "loses a byte when it is read slowly": {
    makePair: both((transport) => ({
      pull: Effect.map(
        transport.pull,
        (chunk) => chunk !== null && chunk.length > 1 && transport.stats().unread > 0 ? chunk.subarray(1) : chunk
      )
    })),
    breaks: [
      "the counters of both ends agree",
      "nothing comes between the chunks of one writeAll",
      "views of larger buffers, and subclasses of Uint8Array, are bytes as well",
      "writers at the same time never mix their chunks"
    ]
  },
  "times out for good": {
    makePair: both((transport) => ({
      pull: Effect.onInterrupt(transport.pull, () => transport.abort),
      write: (chunk) => Effect.onInterrupt(transport.write(chunk), () => transport.abort)
    })),
    breaks: [
      "an interrupted pull loses no byte",
      "a pull that times out has taken nothing, and the next one goes on",
      "writes that are interrupted again and again arrive whole and in their order, or not at all",
      "pulls that are interrupted again and again lose no byte"
    ]
  },
  // Declared to be lacking, and there all the same.
  "has everything": {
    makePair: good,
    breaks: [
      "without a half-close, the end of one direction is the end of both, for both sides",
      "without a reset, the peer's abort is an end, or a loss of another name",
      "without mirrored addresses, at least one side tells others",
      "without noDelay, the option is undefined",
      "without keepAlive, the option is undefined"
    ]
  }
}
