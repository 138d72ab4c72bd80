/**
 * Connects, and offers 1 GiB in chunks of 64 KiB to a peer that never reads: `raw` on node:net, which heeds `false` and
 * `'drain'`, the others on the library. Tells how far it came when nothing moves any more, and then how it ended.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Address from "effect-transport/Address"
import * as Tcp from "effect-transport/node/Tcp"
import type { Transport } from "effect-transport/Transport"
import * as net from "node:net"

const [form, port] = process.argv.slice(1) as [string, string]

const chunkSize = 64 * 1024
const total = 1024 * 1024 * 1024

interface Progress {
  readonly waiting: boolean
  readonly written: number
  readonly buffered: number
}

let progress: () => Progress
let offered = 0
let maxBuffered = 0
let maxResident = 0

const look = () => {
  maxBuffered = Math.max(maxBuffered, progress().buffered)
  maxResident = Math.max(maxResident, process.memoryUsage.rss())
}

const isOver = () => offered >= total

/** A new one each time, every page of it touched. Asked for when the last one was accepted. */
const nextChunk = () => {
  look()
  offered += chunkSize
  return new Uint8Array(chunkSize).fill(offered / chunkSize)
}

// -----------------------------------------------------------------------------
// the forms
// -----------------------------------------------------------------------------

const raw = () => {
  const socket = net.connect({ host: "127.0.0.1", port: Number(port) })
  progress = () => ({
    waiting: socket.writableNeedDrain,
    written: socket.bytesWritten - socket.writableLength,
    buffered: socket.writableLength
  })
  const offer = () => {
    while (!isOver() && socket.write(nextChunk()));
  }
  const ended = new Promise<string>((resolve) =>
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code!))
  )
  socket.on("drain", offer)
  socket.on("connect", () =>
    watch(() => {
      offer()
      return ended
    }))
}

/** Until all is offered, or it fails. */
const repeated = (step: Effect.Effect<unknown, unknown>): Effect.Effect<void, unknown> => {
  const loop: Effect.Effect<void, unknown> = Effect.suspend(() =>
    isOver() ? Effect.void : Effect.flatMap(step, () => loop)
  )
  return loop
}

const forms: Readonly<Record<string, (transport: Transport) => Effect.Effect<void, unknown>>> = {
  write: ({ write }) => repeated(Effect.suspend(() => write(nextChunk()))),
  writeAll: ({ writeAll }) =>
    repeated(Effect.suspend(() => writeAll([nextChunk(), nextChunk(), nextChunk(), nextChunk()]))),
  // An offer has no failure: it is `false`, and `closed` has the reason.
  offer: ({ closed, outgoing }) =>
    repeated(Effect.if(Effect.suspend(() => outgoing.offer(nextChunk())), {
      onTrue: () => Effect.void,
      onFalse: () => Effect.flatMap(closed, (reason) => Effect.fail(reason._tag === "Lost" ? reason.error : reason))
    })),
  sink: ({ sink }) => Stream.run(Stream.takeUntil(Stream.repeatEffect(Effect.sync(nextChunk)), isOver), sink)
}

const ours = Effect.scoped(Effect.flatMap(Tcp.connect(Address.tcp("127.0.0.1", Number(port))), (transport) => {
  progress = () => {
    const { buffered, bytesWritten, writersWaiting } = transport.stats()
    return { waiting: writersWaiting === 1, written: bytesWritten, buffered }
  }
  const offering = Effect.match(forms[form]!(transport), {
    onFailure: (error) => (error as { readonly _tag: string })._tag,
    onSuccess: () => "all accepted"
  })
  return Effect.promise(() => watch(() => Effect.runPromise(offering)))
}))

// -----------------------------------------------------------------------------
// the watch
// -----------------------------------------------------------------------------

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** `offering` begins, and resolves with how it ended. */
const watch = async (offering: () => Promise<string>) => {
  for (let count = 0; count < 3; count++) {
    globalThis.gc!()
    await turn()
  }
  const resident = process.memoryUsage.rss()
  const ended = offering()
  const ticking = setInterval(look, 1)
  // The writer waits, or has no reason to, and for so many turns of the event loop nothing has moved.
  let last = progress()
  for (let quiet = 0; quiet < 100; quiet++) {
    await turn()
    look()
    const now = progress()
    const moved = now.written !== last.written || now.buffered !== last.buffered
    if (moved || !(now.waiting || isOver())) quiet = 0
    last = now
  }
  clearInterval(ticking)
  process.send!({ offered, maxBuffered, growth: maxResident - resident })
  process.send!(await ended)
}

if (form === "raw") raw()
else Effect.runFork(ours)
process.on("disconnect", () => process.exit())
