/**
 * What effect-transport is for, in a quarter of a minute, over real TCP on the loopback:
 *
 *   client ──▶ relay ──▶ echo server       256 MiB go in here …
 *   client ◀── relay ◀── echo server       … and come out here, to a consumer that crawls at first
 *
 * Nobody in this program counts bytes or pauses a socket. A consumer that does not pull holds back, through five sockets
 * and as many buffers, the writer that feeds it: so the memory stays where it is. Then the server resets a connection in
 * mid-stream, and the client gets an error that says what happened.
 *
 * Run it with `npm run demo`. It exits with 1 if anything of that is not so.
 */
import * as Address from "effect-transport/Address"
import type { ConnectionReset } from "effect-transport/ConnectionError"
import * as Connector from "effect-transport/Connector"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as Relay from "effect-transport/Relay"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const MiB = 1024 * 1024
const total = 256 * MiB
/** What the consumer takes, in bytes a second: slowly at first. */
const crawl = { speed: 8 * MiB, bytes: 40 * MiB }
const run = { speed: 64 * MiB }

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** The memory in use, in bytes. What is resident has garbage in it as well, more of it on a busy machine. */
const memoryInUse = (): number => {
  collectGarbage()
  // The buffers that the first one has found are freed in the background; the second one waits for that.
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

// -----------------------------------------------------------------------------
// the programs
// -----------------------------------------------------------------------------

/** Every transport of this process, to show what they hold. */
const open = new Set<Transport<unknown>>()

const tracked = <T extends Transport<unknown>>(transport: T) =>
  Effect.acquireRelease(
    Effect.sync(() => (open.add(transport), transport)),
    () => Effect.sync(() => open.delete(transport))
  )

const onLoopback = Network.listen(Address.tcp("127.0.0.1", 0))

const connectorTo = (address: Address.Address) => {
  const { host, port } = address as Address.TcpAddress
  return Connector.make({ host, port, timeout: "5 seconds" })
}

/** Echo is a stream that runs into a sink. The second client is sent a megabyte of its own bytes, and a reset. */
const echo = (transport: Transport, connection: number) =>
  connection === 1
    ? Stream.run(transport.stream, transport.sink)
    : transport.stream.pipe(
      Stream.takeUntil(() => transport.stats().bytesWritten >= MiB),
      Stream.run(transport.sink),
      Effect.zipRight(transport.flush),
      Effect.zipRight(transport.abort)
    )

/** The echo server and a relay before it; the address is the relay's. Both end with the Scope. */
const echoBehindRelay = Effect.gen(function*() {
  let connections = 0
  const echoListener = yield* onLoopback
  yield* Effect.forkScoped(
    Server.serve(echoListener, (transport) =>
      Effect.zipRight(
        tracked(transport),
        Effect.suspend(() => echo(transport, ++connections))
      ))
  )

  const relayListener = yield* onLoopback
  yield* Effect.forkScoped(Server.serve(relayListener, (accepted) =>
    Effect.gen(function*() {
      const outgoing = yield* connectorTo(echoListener.address).connect
      yield* tracked(accepted)
      yield* tracked(outgoing)
      // The loss of one side, which it passes on to the other as a reset.
      yield* Effect.catchTag(Relay.run(accepted, outgoing), "RelayLost", () => Effect.void)
    })))
  return relayListener.address
})

// -----------------------------------------------------------------------------
// 256 MiB, and memory that stays where it is
// -----------------------------------------------------------------------------

/** A block that does not repeat within any power of two: a byte that is lost, doubled or moved is found. */
const block = Uint8Array.from({ length: 65521 }, (_, index) => (index * 7 + (index >> 8)) & 0xff)

const send = (transport: Transport) => {
  const loop = (left: number): Effect.Effect<void, Effect.Effect.Error<ReturnType<Transport["write"]>>> =>
    left === 0
      ? transport.closeWrite
      : Effect.flatMap(transport.write(block.subarray(0, left)), () => loop(Math.max(0, left - block.length)))
  return loop(total)
}

/** Whether the chunk is what was sent at this place. */
const isIntact = (chunk: Uint8Array, at: number): boolean => {
  for (let index = 0; index < chunk.length;) {
    const offset = (at + index) % block.length
    const length = Math.min(chunk.length - index, block.length - offset)
    if (Buffer.compare(chunk.subarray(index, index + length), block.subarray(offset, offset + length)) !== 0) {
      return false
    }
    index += length
  }
  return true
}

interface Progress {
  readonly start: number
  received: number
  intact: boolean
  readonly inUseAtStart: number
  inUsePeak: number
  residentAt2s: number | undefined
  residentPeak: number
}

/**
 * When so many bytes are due, in milliseconds. At full speed, more than 100 MiB/s, what is resident would be the buffers
 * which V8 has yet to sweep (a new one for each read of each socket), and not those that are in use.
 */
const due = (bytes: number): number =>
  bytes < crawl.bytes
    ? bytes / crawl.speed * 1000
    : (crawl.bytes / crawl.speed + (bytes - crawl.bytes) / run.speed) * 1000

const consume = (transport: Transport, progress: Progress) =>
  Stream.runForEach(transport.stream, (chunk) =>
    Effect.suspend(() => {
      progress.intact &&= isIntact(chunk, progress.received)
      progress.received += chunk.length
      const early = due(progress.received) - (performance.now() - progress.start)
      return early > 1 ? Effect.sleep(early) : Effect.void
    }))

const flow = (relay: Address.Address) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* Effect.flatMap(connectorTo(relay).connect, tracked)
    const progress: Progress = {
      start: performance.now(),
      received: 0,
      intact: true,
      inUseAtStart: memoryInUse(),
      inUsePeak: 0,
      residentAt2s: undefined,
      residentPeak: 0
    }
    yield* Effect.forkScoped(display(progress))
    yield* Effect.all([send(client), consume(client, progress)], { concurrency: 2, discard: true })
    return progress
  }))

// -----------------------------------------------------------------------------
// a reset in mid-stream
// -----------------------------------------------------------------------------

/** Reads and writes until the connection is lost. The type of this Effect says what it can be lost by. */
const untilReset = (relay: Address.Address) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connectorTo(relay).connect
    yield* Effect.forkScoped(Effect.ignore(Effect.forever(client.write(block))))
    return yield* Stream.runDrain(client.stream).pipe(
      Effect.as(undefined),
      Effect.catchTag("ConnectionReset", (loss) => Effect.succeed(loss))
    )
  }))

// -----------------------------------------------------------------------------
// what is shown
// -----------------------------------------------------------------------------

const mebibytes = (bytes: number, width = 6): string => `${(bytes / MiB).toFixed(1).padStart(width)} MiB`

const buffered = (): number => {
  let bytes = 0
  for (const transport of open) bytes += transport.stats().buffered + transport.stats().unread
  return bytes
}

const bar = (part: number, width = 24): string => "█".repeat(Math.round(part * width)).padEnd(width, "░")

/** A live line, redrawn in place on a terminal, one every second otherwise; and the memory, ten times a second. */
const display = (progress: Progress) => {
  let shown = { at: progress.start, received: 0 }
  let looks = 0
  const look = Effect.sync(() => {
    const now = performance.now()
    const resident = process.memoryUsage.rss()
    if (now - progress.start >= 2_000) {
      progress.residentAt2s ??= resident
      progress.residentPeak = Math.max(progress.residentPeak, resident)
      // Not before: what a collection frees early would seem to rise later.
      if (looks++ % 5 === 0) progress.inUsePeak = Math.max(progress.inUsePeak, memoryInUse())
    }
    const seconds = (now - shown.at) / 1000
    if (seconds < (process.stdout.isTTY ? 0.2 : 1)) return
    const speed = (progress.received - shown.received) / seconds
    shown = { at: now, received: progress.received }
    const line = `  ${((now - progress.start) / 1000).toFixed(1).padStart(4)} s ${bar(progress.received / total)}` +
      `${mebibytes(progress.received)}  ${mebibytes(speed)}/s  buffered ${mebibytes(buffered(), 4)}` +
      `  resident${mebibytes(resident)}`
    process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${line}` : `${line}\n`)
  })
  return Effect.ensuring(
    Effect.repeat(look, Schedule.spaced("100 millis")),
    Effect.sync(() => process.stdout.write(process.stdout.isTTY ? "\n" : ""))
  )
}

let failures = 0

const check = (holds: boolean, text: string) => {
  if (!holds) failures++
  console.log(`  ${holds ? "✔" : "✘"} ${text}`)
}

const report = (progress: Progress, loss: ConnectionReset | undefined) => {
  const growth = progress.inUsePeak - progress.inUseAtStart
  const later = progress.residentPeak - (progress.residentAt2s ?? 0)
  check(progress.received === total, `all ${total / MiB} MiB came back (${progress.received} bytes)`)
  check(progress.intact, "each byte in its place")
  check(growth <= 16 * MiB, `memory in use rose by ${mebibytes(growth, 0)} at most (allowed: 16)`)
  check(later <= 32 * MiB, `resident memory rose by ${mebibytes(later, 0)} at most after the first 2 s (allowed: 32)`)
  check(loss?._tag === "ConnectionReset", "the reset is a ConnectionReset, and not an end of input")
  console.log("")
}

const demo = Effect.scoped(Effect.gen(function*() {
  const relay = yield* echoBehindRelay
  console.log(
    `\n256 MiB through client → relay → echo → relay → client; the consumer crawls at first\n`
  )
  const progress = yield* flow(relay)

  console.log(`\nAnother connection, which the server resets in mid-stream\n`)
  const loss = yield* untilReset(relay)
  if (loss !== undefined) console.log(`  the client got ${loss._tag}:\n  ${loss.message}\n`)
  report(progress, loss)
}))

await Effect.runPromise(Effect.provide(demo, NodeNetwork.layer))
process.exitCode = failures === 0 ? 0 : 1
