/**
 * UNIX domain stream sockets on Node (unix(7)): by path, and by abstract name on Linux.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import cluster from "node:cluster"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import type * as Address from "../Address.ts"
import type { ConnectError, ListenError } from "../ConnectionError.ts"
import * as ConnectionError from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import { async } from "../internal/async.ts"
import type { Listener } from "../Listener.ts"
import type { ListenOptions, SocketOptions } from "../Network.ts"
import type { Transport } from "../Transport.ts"
import { dial } from "./internal/dial.ts"
import * as server from "./internal/server.ts"
import type { SocketSettings } from "./internal/socket.ts"

/** `sockaddr_un.sun_path` holds 108 bytes with the terminating NUL. Node cuts a longer path without a word. */
const maxPathLength = 107

const settings = (options: SocketOptions): SocketSettings => ({
  kind: "unix",
  noDelay: false,
  keepAlive: false,
  limits: Driver.resolveLimits(options)
})

const checkPath = (
  address: Address.UnixAddress
): Effect.Effect<void, ConnectionError.PathTooLong | ConnectionError.AddressUnsupported> => {
  const length = Buffer.byteLength(address.path)
  if (length > maxPathLength) {
    return Effect.fail(new ConnectionError.PathTooLong({ address, length, maxLength: maxPathLength }))
  }
  return length === 0
    ? Effect.fail(
      new ConnectionError.AddressUnsupported({ address, code: undefined, syscall: undefined, cause: undefined })
    )
    : Effect.void
}

/** File system calls of the set-up, which are few and short: what they throw is why the listen fails. */
const attempt = <A>(address: Address.Address, run: () => A): Effect.Effect<A, ListenError> =>
  Effect.try({
    try: run,
    catch: (cause) => ConnectionError.fromListenFailure(ConnectionError.systemFailure(cause), address)
  })

/**
 * Listens on a path or an abstract name.
 *
 * - A path that a dead server left behind is taken over, but only after a connect shows that nobody answers; a live
 *   one, and a file that is not a socket, fail with `AddressInUse`.
 * - The socket is bound in a private directory beside the path, and linked to the path when it listens: who looks at
 *   the path sees no server that is half ready. So `mode` holds from the first moment. (`umask` would change the whole
 *   process, and does not exist in worker threads; chmod after bind leaves a gap.)
 * - The path is removed with the listener; where that is not permitted any more, the next server takes it over.
 * - A path over 107 bytes fails with `PathTooLong`. An abstract name has no file: one with a `mode` dies with a `RangeError`.
 * - Node 20 fills an abstract name up with NULs to those 107 bytes, here and in `connect`: only who does so too is reached by
 *   it (socat's `unix-tightsocklen=0`).
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Unix from "effect-transport/node/Unix"
 *
 * export const program = Effect.scoped(Effect.flatMap(
 *   Unix.listen(Address.unix("/run/app.sock"), { mode: 0o660 }),
 *   (listener) => listener.accept
 * ))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const listen = (
  address: Address.UnixAddress,
  options: ListenOptions = {}
): Effect.Effect<Listener<Address.UnixAddress>, ListenError, Scope.Scope> =>
  Effect.zipRight(
    checkPath(address),
    Effect.suspend(() => {
      if (address.isAbstract && options.mode !== undefined) {
        return Effect.die(new RangeError("An abstract UNIX name has no file, so it has no mode"))
      }
      const own = settings(options)
      return address.isAbstract
        ? listenDirectly(address, own, options)
        : retryAfterTakeover(address, listenPrivately(address, own, options), 3)
    })
  )

/** An abstract name has no file to prepare. */
const listenDirectly = (address: Address.UnixAddress, settings: SocketSettings, options: ListenOptions) =>
  server.listen({
    settings,
    listen: { path: address.path },
    address
  }, options)

/** Beside the file, and so in its file system; mkdtemp(3) lets nobody else in. (`path.join` would drop a lone dot.) */
const privateDirectory = (file: string): string => fs.mkdtempSync(`${path.dirname(file)}/.`)

/** The primary of a cluster binds for its workers. */
const descriptors = `/proc/${cluster.isWorker ? process.pid : "self"}/fd`

const openOrRemove = (directory: string): number => {
  try {
    return fs.openSync(directory, "r")
  } catch (cause) {
    fs.rmdirSync(directory)
    throw cause
  }
}

/**
 * Binds where only this user gets in, sets the mode, and then links it to where everybody looks: link(2) never replaces.
 * None of it waits for anything, so it need not be interrupted.
 */
const listenPrivately = (address: Address.UnixAddress, settings: SocketSettings, options: ListenOptions) =>
  Effect.uninterruptible(Effect.flatMap(
    attempt(address, () => {
      const directory = privateDirectory(address.path)
      const file = path.join(directory, "s")
      // Too long to bind, though the path itself is not: Linux has a short name for every directory that is open. It stays
      // open, so that the name means this directory until libuv has removed what it bound.
      const descriptor = Buffer.byteLength(file) > maxPathLength ? openOrRemove(directory) : undefined
      return { directory, file, descriptor, bound: descriptor === undefined ? file : `${descriptors}/${descriptor}/s` }
    }),
    ({ bound, descriptor, directory, file }) => {
      let own: fs.BigIntStats | undefined
      return server.listen({
        settings,
        listen: { path: bound },
        address,
        publish: attempt(address, () => {
          if (options.mode !== undefined) fs.chmodSync(file, options.mode)
          // Before there is a second name to remove.
          own = look(file)
          try {
            fs.linkSync(file, address.path)
          } catch (cause) {
            throw ConnectionError.systemFailure(cause).code === "EEXIST"
              ? Object.assign(new Error("the path exists", { cause }), { code: "EADDRINUSE", syscall: "link" })
              : cause
          }
          fs.rmSync(file)
          fs.rmdirSync(directory)
        }),
        // What may not be removed any more, since privileges were given up, is left for the next server to take over.
        unbind: Effect.ignore(Effect.try(() => {
          if (descriptor !== undefined) fs.closeSync(descriptor)
          fs.rmSync(directory, { recursive: true, force: true })
          // Ours, and not what somebody has put there since.
          if (own !== undefined && isSame(own, look(address.path))) fs.rmSync(address.path, { force: true })
        }))
      }, options)
    }
  ))

const look = (file: string): fs.BigIntStats | undefined => fs.lstatSync(file, { bigint: true, throwIfNoEntry: false })

/** The number of an inode alone does not tell: a new file is often given that of the last one removed. */
const isSame = (one: fs.BigIntStats, other: fs.BigIntStats | undefined): boolean =>
  one.ino === other?.ino && one.mtimeNs === other.mtimeNs

const retryAfterTakeover = <A, R>(
  address: Address.UnixAddress,
  bind: Effect.Effect<A, ListenError, R>,
  tries: number
): Effect.Effect<A, ListenError, R> =>
  Effect.catchTag(bind, "AddressInUse", (inUse) =>
    tries === 0 ? Effect.fail(inUse) : Effect.flatMap(
      takeOver(address),
      (isFree) => isFree ? retryAfterTakeover(address, bind, tries - 1) : Effect.fail(inUse)
    ))

/** Removes a socket at whose other end nobody is. False: somebody answers, or it is no socket. */
const takeOver = (address: Address.UnixAddress): Effect.Effect<boolean, ListenError> =>
  Effect.flatMap(attempt(address, () => look(address.path)), (found) => {
    if (found === undefined) return Effect.succeed(true)
    if (!found.isSocket()) return Effect.succeed(false)
    return Effect.flatMap(
      isStale(address.path),
      (stale) => stale ? attempt(address, () => removeExactly(address.path, found)) : Effect.succeed(false)
    )
  })

/** A connect tells: only a socket that nobody listens on refuses. */
const isStale = (file: string): Effect.Effect<boolean> =>
  async<boolean>((resume) => {
    const socket = net.connect({ path: file })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(false))
    })
    socket.once("error", (cause) => {
      const { code } = ConnectionError.systemFailure(cause)
      resume(Effect.succeed(code === "ECONNREFUSED" || code === "ENOENT"))
    })
    return () => void socket.destroy()
  })

/**
 * Removes the path if it is still that socket. Two servers may see the same stale one at a time: so it is first moved
 * away, which only one of them can do, and what turns out to be another one is put back.
 */
const removeExactly = (file: string, found: fs.BigIntStats): boolean => {
  // Another one by now: the next bind tells.
  if (!isSame(found, look(file))) return true
  const directory = privateDirectory(file)
  try {
    const moved = path.join(directory, "s")
    try {
      fs.renameSync(file, moved)
    } catch (cause) {
      // Somebody was faster, and may be listening by now: the next bind tells.
      if (ConnectionError.systemFailure(cause).code === "ENOENT") return true
      throw cause
    }
    if (isSame(found, look(moved))) return true
    fs.linkSync(moved, file)
    return false
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * Connects to a path or an abstract name. See `Network.connect`; the local address is unnamed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const connect = (
  address: Address.UnixAddress,
  options: SocketOptions = {}
): Effect.Effect<Transport, ConnectError, Scope.Scope> =>
  Effect.zipRight(
    checkPath(address),
    Effect.suspend(() =>
      dial({ settings: settings(options), address, localAddress: undefined, connect: { path: address.path } })
    )
  )
