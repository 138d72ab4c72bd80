/**
 * Standard input and output, chunk by chunk, each waiting for the other end.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { systemFailure } from "../ConnectionError.ts"

export class InputFailed extends Data.TaggedError("InputFailed")<{ readonly code: string | undefined }> {
  override get message() {
    return `Cannot read the standard input (${this.code}).`
  }
}

export class OutputFailed extends Data.TaggedError("OutputFailed")<{ readonly code: string | undefined }> {
  override get message() {
    return `Cannot write to the standard output (${this.code}).`
  }
}

const events = ["readable", "end", "error", "close"] as const

/** Suspends until there may be something to read. It takes nothing, so an interruption loses nothing. */
const readable: Effect.Effect<void> = Effect.async<void>((resume) => {
  const forget = () => {
    for (const event of events) process.stdin.removeListener(event, notify)
  }
  const notify = () => {
    forget()
    resume(Effect.void)
  }
  for (const event of events) process.stdin.on(event, notify)
  return Effect.sync(forget)
})

/** The next bytes of the standard input; `null` at its end. */
export const read: Effect.Effect<Uint8Array | null, InputFailed> = Effect.suspend(() => {
  const { stdin } = process
  // It reads ahead, also while nobody waits here. Without a listener, an error would end the process with a stack trace.
  if (stdin.listenerCount("error") === 0) stdin.on("error", () => {})
  const chunk = stdin.read() as Uint8Array | null
  if (chunk !== null) return Effect.succeed(chunk)
  if (stdin.errored) return Effect.fail(new InputFailed({ code: systemFailure(stdin.errored).code }))
  return stdin.readableEnded || stdin.destroyed ? Effect.succeed(null) : Effect.zipRight(readable, read)
})

/** Suspends until the bytes are out of this program's hands: a slow reader of the output holds the caller back. */
export const write = (bytes: Uint8Array): Effect.Effect<void, OutputFailed> =>
  Effect.async((resume) => {
    process.stdout.write(bytes, (error) =>
      resume(error ? Effect.fail(new OutputFailed({ code: systemFailure(error).code })) : Effect.void))
  })
