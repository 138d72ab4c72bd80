/**
 * The other end of a test: a plain `node:net` socket, which shows what really went over the wire. A peer reads nothing
 * until it is told to, and is destroyed with the Scope.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Address from "../../src/Address.ts"
import type { ConnectError, ListenError } from "../../src/ConnectionError.ts"
import type { Listener } from "../../src/Listener.ts"
import type { ListenOptions } from "../../src/Network.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Unix from "../../src/node/Unix.ts"
import type { Transport } from "../../src/Transport.ts"
import { readExactly } from "../../src/Transport.ts"

/** Whoever waits looks again whenever something has happened. */
class Happenings {
  private readonly watchers = new Set<() => void>()

  readonly happened = () => {
    for (const look of this.watchers) look()
  }

  until(holds: () => boolean): Effect.Effect<void> {
    return Effect.async((resume) => {
      const look = () => {
        if (!holds()) return
        this.watchers.delete(look)
        resume(Effect.void)
      }
      this.watchers.add(look)
      look()
      return Effect.sync(() => this.watchers.delete(look))
    })
  }
}

export class Peer {
  readonly socket: net.Socket
  readonly until: (holds: () => boolean) => Effect.Effect<void>
  received = 0
  /** The FIN has come. */
  ended = false
  closed = false
  /** The code of the error that ended it. */
  code: string | undefined = undefined
  private readonly chunks: Array<Buffer> = []
  private slow = false

  constructor(socket: net.Socket) {
    const happenings = new Happenings()
    this.socket = socket
    this.until = (holds) => happenings.until(holds)
    socket.pause()
    socket.on("data", (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.received += chunk.length
      if (this.slow) {
        socket.pause()
        setImmediate(() => socket.resume())
      }
    })
    socket.on("end", () => (this.ended = true))
    socket.on("error", (error: NodeJS.ErrnoException) => (this.code = error.code))
    socket.on("close", () => (this.closed = true))
    for (const event of ["data", "end", "error", "close", "drain"]) socket.on(event, happenings.happened)
  }

  /** All that was received so far. */
  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.bytes.toString("latin1")
  }

  /** Begins to read; `slow` takes one chunk in a turn of the event loop. */
  read(options: { readonly slow?: boolean } = {}): void {
    this.slow = options.slow ?? false
    this.socket.resume()
  }

  /** Reads until so many bytes have come in all. */
  readBytes(count: number): Effect.Effect<Buffer> {
    return Effect.suspend(() => {
      this.read()
      return Effect.map(this.until(() => this.received >= count || this.closed), () => this.bytes)
    })
  }

  /** Reads to the end, whichever it is: FIN (`ended`) or an error (`code`). */
  readAll(options?: { readonly slow?: boolean }): Effect.Effect<Buffer> {
    return Effect.suspend(() => {
      this.read(options)
      return Effect.map(this.until(() => this.ended || this.closed), () => this.bytes)
    })
  }

  get awaitClosed(): Effect.Effect<void> {
    return this.until(() => this.closed)
  }

  /** Completes when the kernel has it, or never will. */
  write(bytes: Uint8Array | string): Effect.Effect<void> {
    return Effect.async((resume) => void this.socket.write(bytes, () => resume(Effect.void)))
  }

  /** Sends it, and reads as much more. */
  exchange(text: string): Effect.Effect<Buffer> {
    return Effect.zipRight(this.write(text), Effect.suspend(() => this.readBytes(this.received + text.length)))
  }

  /** Sends FIN after what was written. */
  end(): void {
    this.socket.end()
  }

  /** Sends RST. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  /** Closes both directions: FIN, or RST when input is unread. */
  destroy(): void {
    this.socket.destroy()
  }
}

const target = (address: Address.Address) => {
  if (address._tag === "TcpAddress") return { host: address.host, port: address.port }
  if (address._tag === "UnixAddress") return { path: address.path }
  throw new TypeError(`A peer cannot use ${Address.format(address)}`)
}

const destroyed = (socket: net.Socket) => Effect.sync(() => void socket.destroy())

/** Dials; a refusal shows in `code`. */
export const connect = (address: Address.Address): Effect.Effect<Peer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Peer>((resume) => {
      const socket = new net.Socket({ allowHalfOpen: true })
      const peer = new Peer(socket)
      socket.once("connect", () => resume(Effect.succeed(peer)))
      socket.once("close", () => resume(Effect.succeed(peer)))
      socket.connect({ ...target(address), autoSelectFamily: false })
      return destroyed(socket)
    }),
    ({ socket }) => destroyed(socket)
  )

export interface PeerServer<A extends Address.Address = Address.Address> {
  readonly address: A
  readonly server: net.Server
  /** The next peer that has connected. */
  readonly accept: Effect.Effect<Peer>
}

export const listen = <A extends Address.Address>(
  address: A,
  backlog = 511
): Effect.Effect<PeerServer<A>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<PeerServer<A> & { readonly peers: ReadonlyArray<Peer> }>((resume) => {
      const happenings = new Happenings()
      const peers: Array<Peer> = []
      const waiting: Array<Peer> = []
      const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        const peer = new Peer(socket)
        peers.push(peer)
        waiting.push(peer)
        happenings.happened()
      })
      server.listen({ ...target(address), backlog }, () => {
        const bound = server.address() as net.AddressInfo | string
        resume(Effect.succeed({
          address: typeof bound === "string" ? address : Address.tcp(bound.address, bound.port) as Address.Address as A,
          server,
          peers,
          accept: Effect.map(happenings.until(() => waiting.length > 0), () => waiting.shift()!)
        }))
      })
    }),
    ({ peers, server }) =>
      Effect.sync(() => {
        server.close()
        for (const { socket } of peers) socket.destroy()
      })
  )

/** The address of a carrier that has to be TCP. */
export const asTcp = (address: Address.Address): Address.TcpAddress => {
  assert.strictEqual(address._tag, "TcpAddress")
  return address as Address.TcpAddress
}

export type Carrier = "tcp" | "unix"

export const carriers: ReadonlyArray<Carrier> = ["tcp", "unix"]

/** A directory of its own, removed with the Scope. */
export const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "transport-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** Where to listen: a free port of the loopback, or a new path. */
export const free = (carrier: Carrier): Effect.Effect<Address.TcpAddress | Address.UnixAddress, never, Scope.Scope> =>
  carrier === "tcp"
    ? Effect.succeed(Address.tcp("127.0.0.1", 0))
    : Effect.map(directory, (directory) => Address.unix(path.join(directory, "s")))

interface Own {
  readonly listen: Effect.Effect<Listener, ListenError, Scope.Scope>
  readonly connect: Effect.Effect<Transport, ConnectError, Scope.Scope>
}

const own = (address: Address.Address, options?: ListenOptions): Own => {
  if (address._tag === "TcpAddress") {
    return { listen: Tcp.listen(address, options), connect: Tcp.connect(address, options) }
  }
  if (address._tag === "UnixAddress") {
    return { listen: Unix.listen(address, options), connect: Unix.connect(address, options) }
  }
  throw new TypeError(`No driver here for ${Address.format(address)}`)
}

/** The library listens. */
export const listenOn = (
  address: Address.Address,
  options?: ListenOptions
): Effect.Effect<Listener, ListenError, Scope.Scope> => Effect.suspend(() => own(address, options).listen)

/** The same, where it is free to. */
export const listener = (
  carrier: Carrier,
  options?: ListenOptions
): Effect.Effect<Listener, ListenError, Scope.Scope> =>
  Effect.flatMap(free(carrier), (address) => listenOn(address, options))

/** The library dials. */
export const dial = (
  address: Address.Address,
  options?: ListenOptions
): Effect.Effect<Transport, ConnectError, Scope.Scope> => Effect.suspend(() => own(address, options).connect)

export interface Opened {
  readonly transport: Transport
  readonly peer: Peer
  /** Closes the Scope of the transport, before the test's own does. */
  readonly closeScope: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

/** The transport in a Scope of its own; the peer is destroyed before that is closed, which could wait for the peer to end. */
const opened = <E>(
  transport: Effect.Effect<Transport, E, Scope.Scope>,
  peer: Effect.Effect<Peer, never, Scope.Scope>
): Effect.Effect<Opened, E, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const ours = yield* Scope.extend(transport, scope)
    const theirs = yield* peer
    yield* Effect.addFinalizer(() => destroyed(theirs.socket))
    return { transport: ours, peer: theirs, closeScope: (exit) => Scope.close(scope, exit) }
  })

/** The library listens, the peer dials. */
export const accepted = (
  carrier: Carrier,
  options?: ListenOptions
): Effect.Effect<Opened, ListenError, Scope.Scope> =>
  Effect.gen(function*() {
    const { accept, address } = yield* listener(carrier, options)
    const peer = yield* connect(address)
    return yield* opened(Effect.orDie(accept), Effect.succeed(peer))
  })

/** The peer listens, the library dials. */
const dialled = (
  carrier: Carrier,
  options?: ListenOptions
): Effect.Effect<Opened, ConnectError, Scope.Scope> =>
  Effect.gen(function*() {
    const { accept, address } = yield* Effect.flatMap(free(carrier), (address) => listen(address))
    return yield* opened(dial(address, options), accept)
  })

/** Every way that a connection comes about. */
export const openings: ReadonlyArray<{
  readonly name: string
  readonly carrier: Carrier
  readonly open: (options?: ListenOptions) => Effect.Effect<Opened, ConnectError | ListenError, Scope.Scope>
}> = carriers.flatMap((carrier) => [
  { name: `${carrier}, accepted`, carrier, open: (options) => accepted(carrier, options) },
  { name: `${carrier}, dialled`, carrier, open: (options) => dialled(carrier, options) }
])

/** Two transports of the library, joined: for what needs both ends. */
export const joined = (
  carrier: Carrier,
  options?: ListenOptions
): Effect.Effect<
  { readonly listener: Listener; readonly client: Transport; readonly server: Transport },
  ConnectError | ListenError,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const ours = yield* listener(carrier, options)
    const client = yield* dial(ours.address, options)
    const server = yield* Effect.orDie(ours.accept)
    // Together: one after the other, the first would wait for the second.
    yield* Effect.addFinalizer(() => Effect.all([client.close, server.close], { concurrency: "unbounded" }))
    return { listener: ours, client, server }
  })

/** What comes in until the peer ends. */
export const readAll = <E>(transport: Transport<E>): Effect.Effect<Buffer, E> => {
  const chunks: Array<Uint8Array> = []
  const loop: Effect.Effect<Buffer, E> = Effect.flatMap(transport.pull, (chunk) => {
    if (chunk === null) return Effect.sync(() => Buffer.concat(chunks))
    chunks.push(chunk)
    return loop
  })
  return loop
}

/** What opens something, seen as that alone: listens and connects together. */
export const opening = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, E, Exclude<R, Scope.Scope>> =>
  Effect.scoped(Effect.asVoid(effect))

/** So many turns of the event loop: each polls the kernel once. */
export const turns = (count: number): Effect.Effect<void> =>
  count === 0 ? Effect.void : Effect.flatMap(
    Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void))),
    () => turns(count - 1)
  )

/** Looks after each turn of the event loop, for what no event tells. */
export const eventually = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.flatMap(turns(1), () => eventually(holds)))

/** Sockets that this process has open. What was closed just now is so after a turn: `sockets` waits for that. */
export const openSockets = (): number => {
  let count = 0
  for (const fd of fs.readdirSync("/proc/self/fd")) {
    try {
      if (fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")) count++
    } catch {
      // The descriptor of this listing itself.
    }
  }
  return count
}

export const sockets: Effect.Effect<number> = Effect.map(turns(3), openSockets)

const block = Buffer.from(Array.from({ length: 65521 }, (_, index) => (index * index * 31 + index * 7) >>> 3 & 255))

/** Bytes of which no part can be missing, doubled or moved without a difference. */
export const pattern = (size: number): Buffer => {
  const bytes = Buffer.alloc(size, block)
  // The block repeats: its number makes each one differ.
  for (let at = 0, number = 0; at + 4 <= size; at += block.length) bytes.writeUInt32LE(number++, at)
  return bytes
}

/** What one end writes comes back from the other one, byte for byte: more than their buffers hold. */
export const echoes = <E>(one: Transport<E>, other: Transport<E>) =>
  Effect.gen(function*() {
    const sent = pattern(300_000)
    yield* Effect.fork(other.forEach((chunk) => other.write(chunk)))
    yield* Effect.fork(one.write(sent))
    assert.isTrue(Buffer.from(yield* readExactly(one, sent.length)).equals(sent))
  })
