/**
 * The peer that follows a script.
 *
 * Two places in the script move on by themselves: the step that is to be done next, and the first expectation that is not
 * met. The second one may be ahead: what is written early is compared with what is expected next, and is not held back.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { async } from "../../internal/async.ts"
import { concat } from "../../internal/bytes.ts"
import { timersOf } from "../../internal/timers.ts"
import type { ScriptMismatch, ScriptUnfinished, Step } from "../ScriptedTransport.ts"
import { lineOf } from "./hexdump.ts"
import type { Peer, Seen } from "./peer.ts"

/** The errors, which are made here. */
interface Errors {
  readonly ScriptMismatch: typeof ScriptMismatch
  readonly ScriptUnfinished: typeof ScriptUnfinished
}

const isExpectation = ({ _tag }: Step): boolean => _tag.startsWith("Expect")

/** An expectation that is not met from the start. */
const isAwaited = (step: Step): boolean =>
  isExpectation(step) && !(step._tag === "Expect" && step.bytes.length === 0) &&
  !(step._tag === "ExpectAny" && step.count === 0)

export class Player implements Seen {
  mismatch: ScriptMismatch | undefined = undefined
  /** Something that was written is not read. */
  holds = false
  private readonly script: ReadonlyArray<Step>
  private readonly clock: Clock.Clock
  private readonly errors: Errors
  private peer!: Peer
  private next = 0
  private awaited = -1
  /** How many bytes of it are there. */
  private met = 0
  /** All that was written, and the last line of it. */
  private position = 0
  private recent: Uint8Array = new Uint8Array(0)
  private over = false
  private stopWaiting: (() => void) | undefined = undefined
  private readonly watchers = new Set<() => void>()

  constructor(script: ReadonlyArray<Step>, clock: Clock.Clock, errors: Errors) {
    check(script)
    this.script = script
    this.clock = clock
    this.errors = errors
    this.awaitNext()
  }

  start(peer: Peer): void {
    this.peer = peer
    this.play()
  }

  /** What there is to say now. */
  get verdict(): Exit.Exit<void, ScriptMismatch | ScriptUnfinished> {
    if (this.mismatch !== undefined) return Exit.fail(this.mismatch)
    if (this.isFinished) return Exit.void
    // A wait that is not over has been left behind already.
    const index = this.stopWaiting === undefined ? this.next : this.next - 1
    const { position, script } = this
    return Exit.fail(
      new this.errors.ScriptUnfinished({ step: index + 1, steps: script.length, waitedFor: script[index]!, position })
    )
  }

  readonly finished: Effect.Effect<void, ScriptMismatch | ScriptUnfinished> = Effect.zipRight(
    this.until(() => this.isSettled),
    Effect.suspend(() => this.verdict)
  )

  /** Suspends until it holds something. */
  readonly held: Effect.Effect<void> = this.until(() => this.holds)

  /** Suspends until there is one. */
  readonly mismatched: Effect.Effect<never, ScriptMismatch> = Effect.zipRight(
    this.until(() => this.mismatch !== undefined),
    Effect.suspend(() => Effect.fail(this.mismatch!))
  )

  private until(holds: () => boolean): Effect.Effect<void> {
    return async<void>((resume) => {
      const look = () => {
        if (!holds()) return
        this.watchers.delete(look)
        resume(Exit.void)
      }
      this.watchers.add(look)
      look()
      return () => void this.watchers.delete(look)
    })
  }

  private get isFinished(): boolean {
    return this.next === this.script.length && this.stopWaiting === undefined
  }

  private get isSettled(): boolean {
    return this.isFinished || this.over || this.mismatch !== undefined
  }

  // --- what the transport does -----------------------------------------------------

  readonly output = (chunks: ReadonlyArray<Uint8Array>): number => {
    let taken = 0
    for (const chunk of chunks) {
      const fits = this.match(chunk)
      taken += fits
      if (fits < chunk.length) break
    }
    return taken
  }

  readonly outputTaken = (): void => this.play()

  readonly ended = (): void => {
    const expected = this.script[this.awaited]
    if (expected?._tag === "Expect") this.fail(expected.bytes.subarray(this.met), undefined)
    else if (expected?._tag === "ExpectAny") this.fail(new Uint8Array(0), undefined)
    else if (expected?._tag === "ExpectEnd") this.awaitNext()
    this.play()
  }

  readonly gone = (how: "released" | "reset"): void => {
    this.over = true
    this.stopWaiting?.()
    if (how === "reset" && this.script[this.awaited]?._tag === "ExpectAbort") {
      this.awaitNext()
      this.play()
    }
    this.tell()
  }

  // --- comparing -------------------------------------------------------------------

  /** How many of the bytes are as expected, or may be anything. */
  private match(chunk: Uint8Array): number {
    let at = 0
    while (at < chunk.length) {
      const step = this.script[this.awaited]
      if (step?._tag !== "Expect" && step?._tag !== "ExpectAny") {
        // What comes in place of the end is in its way: the script would never go on.
        this.holds = step?._tag !== "ExpectEnd" &&
          this.script.slice(this.next).some(({ _tag }) => _tag === "Lose" || _tag === "ExpectAbort")
        if (!this.holds) this.fail(undefined, chunk.subarray(at))
        return at
      }
      const wanted = step._tag === "Expect" ? step.bytes.length - this.met : step.count - this.met
      const part = chunk.subarray(at, at + wanted)
      const same = step._tag === "Expect" ? sameBytes(step.bytes.subarray(this.met), part) : part.length
      this.note(part.subarray(0, same))
      if (same < part.length && step._tag === "Expect") {
        this.fail(step.bytes.subarray(this.met), chunk.subarray(at + same))
        return at + same
      }
      if (same === wanted) this.awaitNext()
      at += same
    }
    return at
  }

  private note(bytes: Uint8Array): void {
    this.met += bytes.length
    this.position += bytes.length
    this.recent = bytes.length >= 16 ? bytes.slice(-16) : concat([this.recent, bytes]).slice(-16)
  }

  private awaitNext(): void {
    this.met = 0
    do this.awaited++
    while (this.awaited < this.script.length && !isAwaited(this.script[this.awaited]!))
  }

  private fail(expected: Uint8Array | undefined, seen: Uint8Array | undefined): void {
    if (this.mismatch !== undefined) return
    const { position } = this
    const line = this.recent.subarray(this.recent.length - (position - lineOf(position)))
    const shown = (bytes: Uint8Array | undefined) => bytes && concat([line, bytes.subarray(0, 16)]).slice(0, 16)
    this.mismatch = new this.errors.ScriptMismatch({
      step: Math.min(this.awaited, this.script.length) + 1,
      position,
      expected: shown(expected),
      seen: shown(seen)
    })
    this.tell()
    this.peer.lose({ code: "ECONNRESET", syscall: "read", cause: this.mismatch })
  }

  // --- playing ---------------------------------------------------------------------

  private play(): void {
    while (this.mismatch === undefined && this.stopWaiting === undefined && this.next < this.script.length) {
      const step = this.script[this.next]!
      if (isExpectation(step) && this.next >= this.awaited) break
      this.next++
      this.perform(step)
    }
    if (this.isFinished) this.peer.answerEnd()
    this.tell()
  }

  private perform(step: Step): void {
    switch (step._tag) {
      case "Send":
        return this.peer.send(step.bytes)
      case "End":
        return this.peer.sendEnd()
      case "Lose":
        return this.peer.lose({ code: step.code, syscall: step.syscall, cause: undefined })
      case "Wait":
        return this.wait(Duration.toMillis(step.duration))
    }
  }

  private wait(delay: number): void {
    if (this.over) return
    this.stopWaiting = timersOf(this.clock).schedule(delay, () => {
      this.stopWaiting = undefined
      this.play()
    })
  }

  private tell(): void {
    for (const look of this.watchers) look()
  }
}

/** How many of the first bytes are the same. */
const sameBytes = (expected: Uint8Array, seen: Uint8Array): number => {
  let at = 0
  while (at < seen.length && seen[at] === expected[at]) at++
  return at
}

/** A script that goes on where nothing can follow is a mistake of its author. */
const check = (script: ReadonlyArray<Step>): void => {
  let ended = false
  let endExpected = false
  script.forEach((step, index) => {
    const wrong = (why: string) => new RangeError(`Step ${index + 1} of the script: ${why}`)
    const before = script[index - 1]
    if (before?._tag === "Lose" || before?._tag === "ExpectAbort") throw wrong("the connection is over")
    if (step._tag === "Send" && ended) throw wrong("the peer sends after its end")
    if (step._tag === "End" && ended) throw wrong("the peer ends again")
    if (isExpectation(step) && step._tag !== "ExpectAbort" && endExpected) throw wrong("nothing comes after the end")
    if (step._tag === "ExpectAny" && !(Number.isInteger(step.count) && step.count >= 0)) {
      throw wrong(`a number of bytes is 0 or more, not ${step.count}`)
    }
    ended ||= step._tag === "End"
    endExpected ||= step._tag === "ExpectEnd"
  })
}
