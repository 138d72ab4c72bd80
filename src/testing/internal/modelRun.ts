/**
 * Does the steps of a model-based run on a real pair, and on the model, and compares.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Limits } from "../../Transport.ts"
import * as Transport from "../../Transport.ts"
import type { Side, Step } from "../ConformanceModel.ts"
import type { Pair } from "./check.ts"
import { shown, turn, Unexpected } from "./check.ts"
import type { Outcome } from "./model.ts"
import { End } from "./model.ts"

const lingerTimeout = 10_000

/** A small mark, that few bytes reach, and deadlines that nobody reaches who does not sleep. */
export const limits: Limits = { highWaterMark: 64, lingerTimeout, closeTimeout: 2 * lingerTimeout }

/** More than there is. */
const everything = Number.MAX_SAFE_INTEGER

/** What every run ends with: all that was sent is read, and both directions end. */
const epilogue: ReadonlyArray<Step> = (["interruptRead", "read", "closeWrite"] as const).flatMap((act) =>
  (["left", "right"] as const).map((end): Step => act === "read" ? { act, end, bytes: everything } : { act, end })
)

interface Options {
  readonly halfClose: boolean
  readonly reset: boolean
  readonly timeout: number
}

/** One end of the real pair, beside what the model knows of it. */
class Party {
  readonly side: Side
  readonly transport: Transport.Transport
  readonly model: End
  reader: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  writer: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  closedAt = Infinity
  /** What did not go by the model, first. */
  violation: Unexpected | undefined = undefined
  private written = 0

  constructor(side: Side, transport: Transport.Transport, model: End) {
    this.side = side
    this.transport = transport
    this.model = model
  }

  /** Bytes of which none can be missing, doubled or moved without a difference. */
  nextChunk(size: number): Uint8Array {
    return Uint8Array.from({ length: size }, () => this.written++ % 251)
  }

  expect(wanted: string | undefined, what: string, seen: string): void {
    if (wanted === undefined) return
    this.violation ??= new Unexpected({ expected: `${what} at the ${this.side} end gives ${wanted}`, seen })
  }

  hasRead(exit: Exit.Exit<Uint8Array, { readonly _tag: string }>): void {
    this.model.reading = undefined
    if (Exit.isInterrupted(exit)) return
    const outcome = readOutcome(exit)
    this.expect(this.model.hasRead(outcome), "a read", describe(outcome))
  }

  hasWritten(exit: Exit.Exit<void, { readonly _tag: string }>): void {
    const { model } = this
    if (Exit.isInterrupted(exit)) return this.withdrawn()
    const failure = Exit.isSuccess(exit) ? undefined : tagOf(exit.cause)
    this.expect(model.hasWritten(failure), "a write", failure ?? "success")
  }

  /** An interrupted write is in or out, and the counters tell. After a loss they do not, and nobody will know. */
  private withdrawn(): void {
    const { model } = this
    const { buffered, bytesWritten } = this.transport.stats()
    const more = buffered + bytesWritten - model.accepted.length
    if (more === model.writing!.chunk.length) {
      this.expect(model.hasWritten(undefined), "an interrupted write", "success")
    } else if (more === 0) model.writing = undefined
    else if (model.losses.length === 0) this.expect("all of its bytes or none", "an interrupted write", `${more} bytes`)
  }

  get late(): string | undefined {
    return this.model.mustRead ? "a read" : this.model.mustWrite ? "a write" : undefined
  }
}

const tagOf = (cause: Cause.Cause<{ readonly _tag: string }>): string => {
  const failure = Cause.squash(cause)
  return typeof failure === "object" && failure !== null && "_tag" in failure
    ? String(failure._tag)
    : Cause.pretty(cause)
}

const readOutcome = (exit: Exit.Exit<Uint8Array, { readonly _tag: string }>): Outcome => {
  if (Exit.isSuccess(exit)) return { bytes: exit.value, end: false }
  const failure = Cause.squash(exit.cause)
  return failure instanceof Transport.IncompleteRead ? { bytes: failure.bytes, end: true } : tagOf(exit.cause)
}

const describe = (outcome: Outcome): string =>
  typeof outcome === "string" ? outcome : `${shown(outcome.bytes)}${outcome.end ? " and the end" : ""}`

/** Who has closed so long ago may let go of the peer. */
const grow = (parties: ReadonlyArray<Party>, now: number) => {
  for (const { closedAt, model } of parties) if (now - closedAt >= lingerTimeout) model.overdue = true
}

/** Starts what the step says. A second read or write at a time is passed over. */
const perform = (parties: Record<Side, Party>, step: Step, { halfClose }: Options) =>
  Effect.gen(function*() {
    if (step.act === "sleep") {
      grow([parties.left, parties.right], (yield* Clock.currentTimeMillis) + step.millis)
      return yield* Effect.sleep(step.millis)
    }
    const party = parties[step.end]
    const { model, transport } = party
    switch (step.act) {
      case "read":
        if (model.reading !== undefined) return
        model.reading = step.bytes
        party.reader = yield* Effect.fork(Effect.onExit(
          Transport.readExactly(transport, step.bytes),
          (exit) => Effect.sync(() => party.hasRead(exit))
        ))
        return
      case "write":
        if (model.writing !== undefined) return
        model.writing = { chunk: party.nextChunk(step.bytes), late: model.ended || model.aborted, lost: false }
        party.writer = yield* Effect.fork(Effect.onExit(
          transport.write(model.writing.chunk),
          (exit) => Effect.sync(() => party.hasWritten(exit))
        ))
        return
      case "interruptRead":
        return party.reader === undefined ? undefined : yield* Fiber.interrupt(party.reader)
      case "interruptWrite":
        return party.writer === undefined ? undefined : yield* Fiber.interrupt(party.writer)
      case "abort":
        model.aborted = true
        return yield* Effect.fork(transport.abort)
      case "close":
      case "closeWrite": {
        const act = halfClose ? step.act : "close"
        model.ended = true
        if (act === "close") model.closed = true
        if (act === "close") party.closedAt = Math.min(party.closedAt, yield* Clock.currentTimeMillis)
        return yield* Effect.fork(Effect.exit(transport[act]))
      }
    }
  })

/** Waits for what must come, by the model, and for nothing else. */
const settle = (both: ReadonlyArray<Party>, timeout: number) =>
  Effect.gen(function*() {
    const deadline = (yield* Clock.currentTimeMillis) + timeout
    const violation = () => both.find((party) => party.violation !== undefined)?.violation
    yield* turn
    while (violation() === undefined && both.some((party) => party.late !== undefined)) {
      const now = yield* Clock.currentTimeMillis
      const party = both.find((party) => party.late !== undefined)!
      if (now > deadline) party.expect("something", party.late!, `nothing for ${timeout} ms`)
      grow(both, now + 1)
      yield* turn
    }
    const found = violation()
    if (found !== undefined) return yield* Effect.fail(found)
  })

const expectClosed = ({ model, side, transport }: Party, both: ReadonlyArray<Party>, timeout: number) =>
  Effect.gen(function*() {
    const reason = yield* Effect.timeoutFail(transport.closed, {
      duration: timeout,
      onTimeout: () => new Unexpected({ expected: `the ${side} end is closed`, seen: `not for ${timeout} ms` })
    })
    const wanted = (expected: string, seen: unknown) =>
      Effect.fail(new Unexpected({ expected: `closed at the ${side} end tells ${expected}`, seen: String(seen) }))
    grow(both, yield* Clock.currentTimeMillis)
    if (reason._tag === "Lost") {
      return model.losses.includes(reason.error._tag) ? undefined : yield* wanted("of no such loss", reason.error._tag)
    }
    if (model.losses.length > 0) return
    if (reason.bytesWritten !== model.accepted.length) {
      return yield* wanted(`of ${model.accepted.length} bytes written`, reason.bytesWritten)
    }
    // After a close it is read on, and dropped.
    if (model.closed || reason.bytesRead === model.read) return
    return yield* wanted(`of ${model.read} bytes read`, reason.bytesRead)
  })

export const runSteps = ([left, right]: Pair, steps: ReadonlyArray<Step>, options: Options) =>
  Effect.gen(function*() {
    const parties = { left: new Party("left", left, new End()), right: new Party("right", right, new End()) }
    Object.assign(parties.left.model, { peer: parties.right.model, reset: options.reset })
    Object.assign(parties.right.model, { peer: parties.left.model, reset: options.reset })
    const both = [parties.left, parties.right]
    for (const step of [...steps, ...epilogue]) {
      yield* perform(parties, step, options)
      yield* settle(both, options.timeout)
    }
    for (const party of both) yield* expectClosed(party, both, options.timeout)
  })
