/**
 * A transport with a test for a peer: the test says what comes in and when the peer reads, and looks at what was written.
 * It is Twisted's `StringTransport`, as a transport like every other one (`Driver.open`), so the whole contract holds of it:
 * a write after the end fails and is not recorded, a peer that does not read holds writers back, and nothing that the test
 * does runs what is tested from within.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Address } from "../Address.ts"
import type { ConnectionLost } from "../ConnectionError.ts"
import { concat } from "../internal/bytes.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type * as Transport from "../Transport.ts"
import * as Peer from "./internal/peer.ts"
import * as Transcript from "./Transcript.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Transport.Limits {
  /** The address at the side of the transport under test: `local`, in memory. */
  readonly localAddress?: Address | undefined
  /** The address at the side of the test: `peer`, in memory. */
  readonly remoteAddress?: Address | undefined
  /** The peer ends when this side closes, so that a close waits for nobody: `true`. */
  readonly answersClose?: boolean | undefined
}

/**
 * The transport, what was recorded, and its peer.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordingTransport {
  /** What is tested uses it. */
  readonly transport: Transport.Transport

  /** Everything in its order, in both directions, with its time: writes as they were accepted, input as it was pulled. */
  readonly transcript: () => Transcript.Transcript
  /** What was written: for each `write` and `writeAll` its chunks. */
  readonly writes: () => ReadonlyArray<ReadonlyArray<Uint8Array>>
  /** What was written, in one piece. */
  readonly written: () => Uint8Array

  /** The peer sends a chunk. Never suspends: what the transport does not take, since nobody reads, waits on its way. */
  readonly receive: (bytes: Uint8Array) => Effect.Effect<void>
  /** Bytes that the peer has sent, and the transport not yet taken. */
  readonly untaken: () => number
  /** The peer ends its writing. Idempotent. */
  readonly end: Effect.Effect<void>
  /** The peer resets. What it sent before is read before, by whoever reads; whoever writes learns of it at once. */
  readonly reset: Effect.Effect<void>
  /** The peer reads no more: what is written stays in the write buffer, and writers wait once that is full. */
  readonly hold: Effect.Effect<void>
  /** The peer reads again, beginning with all that it was held back from. */
  readonly drain: Effect.Effect<void>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** The peer takes what is written, or holds. */
class Reader implements Peer.Seen {
  holding = false

  readonly output = (_: ReadonlyArray<Uint8Array>, bytes: number): number => this.holding ? 0 : bytes

  readonly outputTaken = (): void => {}

  readonly ended = (): void => {}

  readonly gone = (): void => {}
}

/**
 * A transport whose peer is the test, tied to the Scope. When that ends the peer takes what was written and ends as well:
 * closing it waits for nobody.
 *
 * A peer that sends after its end or its reset is a mistake of the test: `receive` dies.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as RecordingTransport from "effect-transport/testing/RecordingTransport"
 * import type { Transport } from "effect-transport/Transport"
 *
 * const greet = (transport: Transport) =>
 *   Effect.gen(function*() {
 *     const name = new TextDecoder().decode((yield* transport.pull) ?? undefined)
 *     yield* transport.write(new TextEncoder().encode(`Hello, ${name}`))
 *     yield* transport.close
 *   })
 *
 * const test = Effect.scoped(Effect.gen(function*() {
 *   const peer = yield* RecordingTransport.make()
 *   yield* peer.receive(new TextEncoder().encode("Ada"))
 *   yield* greet(peer.transport)
 *   return new TextDecoder().decode(peer.written())
 * }))
 *
 * console.log(await Effect.runPromise(test)) // Hello, Ada
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<RecordingTransport, never, Scope.Scope> =>
  Effect.suspend(() => {
    const reader = new Reader()
    return Effect.flatMap(Peer.open(options, reader), ({ peer, transport }) => {
      const answering = NetworkLayer.derive(transport, {
        close: Effect.suspend(() => {
          peer.answerEnd()
          return transport.close
        })
      })
      return Effect.zipLeft(
        Effect.map(
          Transcript.record(options.answersClose ?? true ? answering : transport),
          (recorded) => controls(recorded, peer, reader)
        ),
        Peer.yieldWithScope(peer)
      )
    })
  }).pipe(Effect.uninterruptible)

const controls = (
  { transcript, transport }: Transcript.Recorded<ConnectionLost>,
  peer: Peer.Peer,
  reader: Reader
): RecordingTransport => {
  const writes = () =>
    transcript().events.flatMap((event) => event._tag === "Data" && event.from === "local" ? [event.chunks] : [])
  return {
    transport,
    transcript,
    writes,
    written: () => concat(writes().flat()),
    receive: (bytes) =>
      Effect.sync(() => {
        if (peer.finished) throw new Error("The peer has ended or reset already: it sends nothing more")
        peer.send(bytes)
      }),
    untaken: () => peer.unread,
    end: Effect.sync(() => peer.sendEnd()),
    reset: Effect.sync(() => peer.lose({ code: "ECONNRESET", syscall: "read", cause: undefined })),
    hold: Effect.sync(() => {
      reader.holding = true
    }),
    drain: Effect.sync(() => {
      reader.holding = false
      peer.drain()
    })
  }
}
