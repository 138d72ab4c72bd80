/**
 * Standard input and output, chunk by chunk, each waiting for the other end. One that the shell has closed (`>&-`) is the null
 * device by the time that anything here runs: Node opens it in its place, just as who starts a program without one does.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { systemFailure } from "../ConnectionError.ts"

export class InputFailed extends Data.TaggedError("InputFailed")<{ readonly code: string | undefined }> {
  override get message() {
    return `Cannot read the standard input (${this.code}).`
  }
}

export class OutputFailed extends Data.TaggedError("OutputFailed")<
  { readonly stream: "output" | "error"; readonly code: string | undefined }
> {
  override get message() {
    return `Cannot write to the standard ${this.stream} (${this.code}).`
  }
}

/** Node takes them for an empty input, and for an output that needs nothing: a block device, and a directory, which fails. */
const isBeyondNode = (fd: number): boolean => {
  const kind = fs.fstatSync(fd)
  return kind.isBlockDevice() || kind.isDirectory()
}

const ownInput = isBeyondNode(0) ? fs.createReadStream("", { fd: 0 }) : undefined

const ownOutput = isBeyondNode(1) ? fs.createWriteStream("", { fd: 1 }).on("error", () => {}) : undefined

const input = () => ownInput ?? process.stdin

const events = ["readable", "end", "error", "close"] as const

/** Suspends until there may be something to read. It takes nothing, so an interruption loses nothing. */
const readable: Effect.Effect<void> = Effect.async<void>((resume) => {
  const stdin = input()
  const forget = () => {
    for (const event of events) stdin.removeListener(event, notify)
  }
  const notify = () => {
    forget()
    resume(Effect.void)
  }
  for (const event of events) stdin.on(event, notify)
  return Effect.sync(forget)
})

/** The next bytes of the standard input; `null` at its end. */
export const read: Effect.Effect<Uint8Array | null, InputFailed> = Effect.suspend(() => {
  const stdin = input()
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
    ;(ownOutput ?? process.stdout).write(bytes, (error) =>
      resume(
        error ? Effect.fail(new OutputFailed({ stream: "output", code: systemFailure(error).code })) : Effect.void
      ))
  })
