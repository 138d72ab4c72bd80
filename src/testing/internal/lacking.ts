/**
 * Checks of what is declared to be lacking: it must be seen to be, and not look as if it were there.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, expect, expectBytes, expectFailure, withoutIt } = C

export const lacking: ReadonlyArray<Entry> = [
  withoutIt(
    "halfClose",
    "without a half-close, the end of one direction is the end of both, for both sides",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        yield* left.write(bytes(1, 2))
        yield* Effect.fork(Effect.exit(left.closeWrite))
        yield* expectBytes(yield* C.readAll(right), bytes(1, 2), "what arrives before the end")
        yield* expectFailure(C.writeOn(right), "writing after the peer's end")
        yield* Effect.exit(left.pull)
        yield* Effect.all([left.closed, right.closed])
      })
  ),

  withoutIt(
    "reset",
    "without a reset, the peer's abort is an end, or a loss of another name",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        const pull = yield* C.suspendedPull(left)
        yield* right.abort
        const exit = yield* pull
        yield* expect(Exit.isFailure(exit) || exit.value === null, "a failure or the end", "data")
        if (Exit.isFailure(exit)) {
          const reason = yield* left.closed
          const tag = reason._tag === "Lost" ? reason.error._tag : reason._tag
          yield* expect(tag !== "ConnectionReset", "another loss than ConnectionReset", tag)
        }
      })
  ),

  withoutIt(
    "mirroredAddresses",
    "without mirrored addresses, at least one side tells others",
    ({ open }) =>
      Effect.flatMap(open(), ([left, right]) =>
        expect(
          !Equal.equals(left.localAddress, right.remoteAddress) ||
            !Equal.equals(right.localAddress, left.remoteAddress),
          "addresses that differ",
          "those that mirrored addresses would have"
        ))
  ),

  ...(["noDelay", "keepAlive"] as const).map((name) =>
    withoutIt(
      name,
      `without ${name}, the option is undefined`,
      ({ open }) =>
        Effect.flatMap(
          open(),
          (pair) => expect(pair.every(({ options }) => options[name] === undefined), "undefined", "something to set")
        )
    )
  )
]
