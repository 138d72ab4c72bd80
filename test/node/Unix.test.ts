import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as fs from "node:fs"
import defaultFs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as net from "node:net"
import * as path from "node:path"
import * as url from "node:url"
import { Worker } from "node:worker_threads"
import * as Address from "../../src/Address.ts"
import type { ConnectError, ListenError } from "../../src/ConnectionError.ts"
import type { Listener } from "../../src/Listener.ts"
import type { ListenOptions } from "../../src/Network.ts"
import * as Unix from "../../src/node/Unix.ts"
import * as Peer from "../support/peer.ts"
import { asNobody } from "../support/resources.ts"
import { run, shell } from "../support/tool.ts"

const permissions = (file: string): number => fs.statSync(file).mode & 0o7777

/** A socket file at which nobody listens, as a process that was killed leaves it. */
const stale = (file: string): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const server = net.createServer().listen(`${file}-`, () => {
      // Node removes the name that it bound, and not the other one.
      fs.linkSync(`${file}-`, file)
      // It has been there for a while.
      fs.utimesSync(file, 1_000_000_000, 1_000_000_000)
      server.close(() => resume(Effect.void))
    })
  })

/** Both ends send and read a byte. */
const works = (address: Address.UnixAddress, listener: Listener) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* Unix.connect(address)
    const server = yield* listener.accept
    yield* client.write(new Uint8Array([7]))
    assert.deepStrictEqual([...(yield* server.pull)!], [7])
    yield* Effect.all([client.close, server.close], { concurrency: "unbounded" })
  }))

/** The two ways to bind: directly, and through a private directory. */
const ways: ReadonlyArray<readonly [string, ListenOptions]> = [
  ["without a mode", {}],
  ["with a mode", { mode: 0o600 }]
]

/** The process creates files as loosely as it is asked to. */
const withUmask = (mask: number) =>
  Effect.acquireRelease(Effect.sync(() => process.umask(mask)), (before) => Effect.sync(() => process.umask(before)))

for (const [way, options] of ways) {
  describe(`a UNIX listener ${way}`, () => {
    it.scopedLive("serves at its path, and removes it when it is closed", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const address = Address.unix(path.join(directory, "s"))
        yield* Effect.scoped(Effect.gen(function*() {
          const listener = yield* Unix.listen(address, options)
          assert.strictEqual(listener.address, address)
          assert.isTrue(fs.lstatSync(address.path).isSocket())
          assert.deepStrictEqual(fs.readdirSync(directory), ["s"])
          yield* works(address, listener)
          yield* listener.close
          assert.deepStrictEqual(fs.readdirSync(directory), [])
        }))
        const gone = yield* Effect.flip(Effect.scoped(Unix.connect(address)))
        assert.strictEqual(gone._tag, "PathNotFound")
      }))

    it.scopedLive("takes over a path that a dead server left", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const address = Address.unix(path.join(directory, "s"))
        yield* stale(address.path)
        const refused = yield* Effect.flip(Effect.scoped(Unix.connect(address)))
        assert.strictEqual(refused._tag, "ConnectionRefused")
        const listener = yield* Unix.listen(address, options)
        yield* works(address, listener)
        assert.deepStrictEqual(fs.readdirSync(directory), ["s"])
      }))

    it.scopedLive("leaves a live server its path", () =>
      Effect.gen(function*() {
        const address = Address.unix(path.join(yield* Peer.directory, "s"))
        const live = yield* Unix.listen(address)
        const inode = fs.statSync(address.path).ino
        const error = yield* Effect.flip(Effect.scoped(Unix.listen(address, options)))
        assert.strictEqual(error._tag, "AddressInUse")
        assert.strictEqual(fs.statSync(address.path).ino, inode)
        // The probe is a connection like any other.
        yield* Effect.scoped(
          Effect.flatMap(live.accept, (probe) => Effect.map(probe.pull, (end) => assert.isNull(end)))
        )
        yield* works(address, live)
      }))

    it.scopedLive("leaves what is not a socket as it is", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const file = path.join(directory, "file")
        fs.writeFileSync(file, "content")
        fs.mkdirSync(path.join(directory, "directory"))
        fs.symlinkSync(path.join(directory, "nowhere"), path.join(directory, "link"))
        for (const name of ["file", "directory", "link"]) {
          const error = yield* Effect.flip(
            Effect.scoped(Unix.listen(Address.unix(path.join(directory, name)), options))
          )
          assert.strictEqual(error._tag, "AddressInUse", name)
        }
        assert.strictEqual(fs.readFileSync(file, "utf8"), "content")
        assert.deepStrictEqual(fs.readdirSync(directory).toSorted(), ["directory", "file", "link"])
      }))

    it.scopedLive("is the only one of many that race for a stale path", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        for (let round = 0; round < 30; round++) {
          const address = Address.unix(path.join(directory, `s${round}`))
          yield* stale(address.path)
          yield* Effect.scoped(Effect.gen(function*() {
            const results = yield* Effect.all(
              Array.from({ length: 2 + round % 4 }, () => Effect.either(Unix.listen(address, options))),
              { concurrency: "unbounded" }
            )
            const winners = results.filter(Either.isRight)
            assert.strictEqual(winners.length, 1)
            assert.isTrue(results.filter(Either.isLeft).every(({ left }) => left._tag === "AddressInUse"))
            // A loser has probed the winner, perhaps.
            let pending
            while ((pending = winners[0]!.right.unsafePoll()) !== undefined) yield* pending.abort
            yield* Effect.scoped(Unix.connect(address, { lingerTimeout: 0 }))
          }))
          assert.deepStrictEqual(fs.readdirSync(directory), [])
        }
      }))

    it.scopedLive("refuses a path that does not fit, and takes the longest that does", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const fill = (length: number) => `${directory}/${"x".repeat(length - directory.length - 1)}`
        const tooLong = Address.unix(fill(108))
        for (const attempt of [Peer.opening(Unix.listen(tooLong, options)), Peer.opening(Unix.connect(tooLong))]) {
          const error = yield* Effect.flip<void, ConnectError | ListenError, never>(attempt)
          assert.strictEqual(error._tag, "PathTooLong")
          if (error._tag === "PathTooLong") assert.deepInclude(error, { length: 108, maxLength: 107 })
        }
        const longest = Address.unix(fill(107))
        yield* Effect.scoped(Effect.flatMap(Unix.listen(longest, options), (listener) => {
          assert.deepStrictEqual(fs.readdirSync(directory), [path.basename(longest.path)])
          return works(longest, listener)
        }))
        assert.deepStrictEqual(fs.readdirSync(directory), [])
      }))

    it.scopedLive("is closed also where its path may not be removed any more, and leaves it for the next", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const address = Address.unix(path.join(directory, "s"))
        const listener = yield* Unix.listen(address, options)
        fs.chmodSync(directory, 0o555)
        yield* Effect.scoped(Effect.zipRight(asNobody, listener.close))
        fs.chmodSync(directory, 0o755)
        assert.deepStrictEqual(fs.readdirSync(directory), ["s"])
        yield* works(address, yield* Unix.listen(address, options))
      }))

    it.scopedLive("counts a path in bytes of UTF-8", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const room = 107 - directory.length - 1
        const fits = Address.unix(`${directory}/${"é".repeat(Math.floor(room / 2))}`)
        assert.isBelow(fits.path.length, 100)
        yield* Effect.scoped(Effect.flatMap(Unix.listen(fits, options), (listener) => works(fits, listener)))
        const tooLong = Address.unix(`${fits.path}é`)
        assert.isBelow(tooLong.path.length, 107)
        const error = yield* Effect.flip(Effect.scoped(Unix.listen(tooLong, options)))
        assert.strictEqual(error._tag, "PathTooLong")
      }))

    it.scopedLive("leaves what somebody else has put at its path since", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const address = Address.unix(path.join(directory, "s"))
        const listener = yield* Unix.listen(address, options)
        fs.rmSync(address.path)
        fs.writeFileSync(address.path, "theirs")
        yield* listener.close
        assert.strictEqual(fs.readFileSync(address.path, "utf8"), "theirs")
      }))

    it.scopedLive("needs no other directory than its own to be writable, not for a stale path either", () =>
      Effect.gen(function*() {
        const parent = yield* Peer.directory
        const directory = path.join(parent, "d")
        fs.mkdirSync(directory)
        fs.chmodSync(directory, 0o777)
        fs.chmodSync(parent, 0o555)
        yield* Effect.addFinalizer(() => Effect.sync(() => fs.chmodSync(parent, 0o755)))
        yield* Effect.scoped(Effect.gen(function*() {
          yield* asNobody
          const address = Address.unix(path.join(directory, "s"))
          yield* stale(address.path)
          yield* works(address, yield* Unix.listen(address, options))
        }))
        assert.deepStrictEqual(fs.readdirSync(directory), [])
      }))

    it.scopedLive("with a wrong limit leaves nothing behind", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const address = Address.unix(path.join(directory, "s"))
        const exit = yield* Effect.exit(Effect.scoped(Unix.listen(address, { ...options, highWaterMark: 0 })))
        assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
        assert.deepStrictEqual(fs.readdirSync(directory), [])
      }))

    it.scopedLive("leaves nothing behind when its file cannot be looked at", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        const { lstatSync } = defaultFs
        const look = (by: unknown) =>
          Effect.sync(() => {
            Object.assign(defaultFs, { lstatSync: by })
            syncBuiltinESMExports()
          })
        const failOnce = () => {
          Effect.runSync(look(lstatSync))
          throw Object.assign(new Error("lstat EIO"), { code: "EIO", syscall: "lstat" })
        }
        yield* Effect.acquireRelease(look(failOnce), () => look(lstatSync))
        const error = yield* Effect.flip(Effect.scoped(Unix.listen(Address.unix(path.join(directory, "s")), options)))
        assert.deepInclude(error, { _tag: "ListenFailed", code: "EIO" })
        assert.deepStrictEqual(fs.readdirSync(directory), [])
      }))

    it.scopedLive("in a directory that may not be written to is PermissionDenied", () =>
      Effect.gen(function*() {
        const directory = yield* Peer.directory
        fs.chmodSync(directory, 0o555)
        const exit = yield* Effect.scoped(Effect.zipRight(
          asNobody,
          Effect.exit(Unix.listen(Address.unix(path.join(directory, "s")), options))
        ))
        fs.chmodSync(directory, 0o755)
        assert.isTrue(
          Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error._tag === "PermissionDenied"
        )
        assert.deepStrictEqual(fs.readdirSync(directory), [])
      }))
  })
}

describe("a UNIX listener in a directory with the longest path", () => {
  const longest = Effect.map(Peer.directory, (parent) => {
    const directory = path.join(parent, "x".repeat(104 - parent.length))
    fs.mkdirSync(directory)
    return path.join(directory, "s")
  })

  it.scopedLive("serves in a worker of a cluster, where the primary binds", () =>
    Effect.gen(function*() {
      const file = path.join(import.meta.dirname, "../support/clusteredUnix.ts")
      const program = yield* run(process.execPath, ["--import", "tsx", file, yield* longest])
      assert.deepStrictEqual(yield* program.ended, { code: 0, signal: null }, program.stderr)
      assert.include(program.output, "accepted")
    }))

  it.scopedLive("leaves nothing behind when no descriptor is left", () =>
    Effect.gen(function*() {
      const module = (file: string) => url.pathToFileURL(path.resolve(import.meta.dirname, file)).href
      const program = yield* shell(`ulimit -n 256; exec "$node" --import tsx --input-type=module --eval "$script"`, {
        node: process.execPath,
        file: yield* longest,
        script: `
          import * as Effect from "effect/Effect"
          import * as fs from "node:fs"
          import * as path from "node:path"
          import * as Address from "${module("../../src/Address.ts")}"
          import * as Unix from "${module("../../src/node/Unix.ts")}"
          const { file } = process.env
          const open = []
          try { for (;;) open.push(fs.openSync("/dev/null")) } catch {}
          const error = await Effect.runPromise(Effect.flip(Effect.scoped(Unix.listen(Address.unix(file)))))
          open.forEach((descriptor) => fs.closeSync(descriptor))
          console.log(error._tag, fs.readdirSync(path.dirname(file)).length)`
      })
      yield* program.ended
      assert.strictEqual(program.output, "TooManyOpenFiles 0\n", program.stderr)
    }))
})

describe("the mode of a socket file", () => {
  it.scopedLive("is what was asked for, whatever the umask", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      for (const mask of [0o000, 0o022, 0o077]) {
        yield* Effect.scoped(Effect.gen(function*() {
          yield* withUmask(mask)
          for (const mode of [0o600, 0o660, 0o666, 0o777, 0o000]) {
            const address = Address.unix(path.join(directory, `${mode}`))
            yield* Unix.listen(address, { mode })
            assert.strictEqual(permissions(address.path), mode)
          }
        }))
      }
      assert.deepStrictEqual(fs.readdirSync(directory), [])
    }))

  it.scopedLive("is never anything else for a moment", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      const file = path.join(directory, "s")
      // Another thread looks all the time.
      const seen = new Int32Array(new SharedArrayBuffer(4 * 0o10000))
      const state = new Int32Array(new SharedArrayBuffer(4))
      const watching = new Worker(
        `const { workerData: { file, seen, state } } = require("node:worker_threads")
         const fs = require("node:fs")
         while (Atomics.load(state, 0) < 2) {
           for (let looks = 0; looks < 1000; looks++) {
             const found = fs.lstatSync(file, { throwIfNoEntry: false })
             if (found !== undefined) seen[found.mode & 0o7777]++
           }
           Atomics.compareExchange(state, 0, 0, 1)
         }`,
        { eval: true, workerData: { file, seen, state } }
      )
      const exited = yield* Effect.fork(
        Effect.async<void>((resume) => void watching.once("exit", () => resume(Effect.void)))
      )
      yield* Effect.addFinalizer(() => Effect.promise(() => watching.terminate()))
      yield* withUmask(0)
      yield* Peer.eventually(() => Atomics.load(state, 0) === 1)
      for (let round = 0; round < 300 || seen[0o640] === 0; round++) {
        yield* Effect.scoped(Effect.zipRight(Unix.listen(Address.unix(file), { mode: 0o640 }), Peer.turns(1)))
      }
      Atomics.store(state, 0, 2)
      yield* Fiber.join(exited)
      assert.deepStrictEqual([...seen.keys()].filter((mode) => seen[mode]! > 0), [0o640])
    }))

  it.scopedLive("is kept in a worker thread, where there is no umask to set", () =>
    Effect.gen(function*() {
      const address = Address.unix(path.join(yield* Peer.directory, "s"))
      const module = (file: string) => JSON.stringify(url.pathToFileURL(path.resolve(import.meta.dirname, file)).href)
      const worker = new Worker(
        `const { parentPort, workerData: { path } } = require("node:worker_threads")
         import("tsx/esm/api").then(({ register }) => (register(), Promise.all([
           import("effect/Effect"), import(${module("../../src/Address.ts")}), import(${
          module("../../src/node/Unix.ts")
        })
         ]))).then(([Effect, Address, Unix]) =>
           Effect.runPromise(Effect.scoped(Effect.gen(function*() {
             const listener = yield* Unix.listen(Address.unix(path), { mode: 0o620 })
             parentPort.postMessage("listening")
             yield* listener.accept
           }))))`,
        { eval: true, workerData: { path: address.path } }
      )
      yield* Effect.addFinalizer(() => Effect.promise(() => worker.terminate()))
      const exited = yield* Effect.fork(
        Effect.async<number>((resume) => void worker.once("exit", (code) => resume(Effect.succeed(code))))
      )
      yield* Effect.async<void>((resume) => void worker.once("message", () => resume(Effect.void)))
      assert.strictEqual(permissions(address.path), 0o620)
      yield* Effect.scoped(Unix.connect(address))
      assert.strictEqual(yield* Fiber.join(exited), 0)
      assert.isFalse(fs.existsSync(address.path))
    }))

  it.effect("of an abstract name is a bug in the caller", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(Unix.listen(Address.unix("\0name"), { mode: 0o600 })))
      assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
    }))
})

describe("an abstract name", () => {
  const name = () => Address.unix(`\0effect-transport-${process.pid}-${Math.random().toString(36).slice(2)}`)

  it.scopedLive("serves without a file, and is free when it is closed", () =>
    Effect.gen(function*() {
      const address = name()
      for (let round = 0; round < 2; round++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const listener = yield* Unix.listen(address)
          assert.strictEqual(listener.address, address)
          yield* works(address, listener)
          const inUse = yield* Effect.flip(Effect.scoped(Unix.listen(address)))
          assert.strictEqual(inUse._tag, "AddressInUse")
        }))
        const refused = yield* Effect.flip(Effect.scoped(Unix.connect(address)))
        assert.strictEqual(refused._tag, "ConnectionRefused")
      }
    }))

  it.live("that does not fit is refused", () =>
    Effect.gen(function*() {
      const tooLong = Address.unix(`\0${"x".repeat(107)}`)
      for (const attempt of [Peer.opening(Unix.listen(tooLong)), Peer.opening(Unix.connect(tooLong))]) {
        const error = yield* Effect.flip<void, ConnectError | ListenError, never>(attempt)
        assert.strictEqual(error._tag, "PathTooLong")
      }
    }))
})

describe("connecting to a UNIX socket", () => {
  const failure = (address: Address.UnixAddress) => Effect.flip(Effect.scoped(Unix.connect(address)))

  it.scopedLive("fails by what is wrong with the path", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      const at = (name: string) => Address.unix(path.join(directory, name))
      fs.writeFileSync(at("file").path, "")
      yield* stale(at("stale").path)
      for (
        const [name, tag, code] of [
          ["missing", "PathNotFound", "ENOENT"],
          ["missing/s", "PathNotFound", "ENOENT"],
          ["file/s", "PathNotFound", "ENOTDIR"],
          ["file", "ConnectionRefused", "ECONNREFUSED"],
          ["stale", "ConnectionRefused", "ECONNREFUSED"]
        ] as const
      ) {
        const address = at(name)
        const error = yield* failure(address)
        assert.strictEqual(error._tag, tag)
        assert.deepInclude(error, { code, syscall: "connect" })
        assert.strictEqual((error as { readonly address: unknown }).address, address)
      }
      assert.strictEqual((yield* failure(Address.unix("")))._tag, "AddressUnsupported")
    }))

  it.scopedLive("without write permission is PermissionDenied", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      fs.chmodSync(directory, 0o755)
      const address = Address.unix(path.join(directory, "s"))
      yield* Unix.listen(address, { mode: 0o444 })
      const error = yield* Effect.scoped(Effect.zipRight(asNobody, failure(address)))
      assert.deepInclude(error, { _tag: "PermissionDenied", code: "EACCES" })
    }))

  it.scopedLive("a full backlog refuses, and leaves no socket", () =>
    Effect.gen(function*() {
      const server = yield* Effect.flatMap(Peer.free("unix"), (address) => Peer.listen(address, 1))
      const before = yield* Peer.sockets
      // All within one turn of the event loop, in which nobody accepts.
      const results = yield* Effect.scoped(Effect.all(
        Array.from({ length: 10 }, () =>
          Effect.either(Unix.connect(server.address as Address.UnixAddress, { lingerTimeout: 0 }))),
        { concurrency: "unbounded" }
      ))
      const refused = results.filter(Either.isLeft)
      assert.isAtLeast(refused.length, 1)
      for (const { left } of refused) {
        assert.deepInclude(left, { _tag: "ConnectionRefused", code: "EAGAIN" })
      }
      for (let index = refused.length; index < results.length; index++) {
        ;(yield* server.accept).destroy()
      }
      yield* Peer.eventually(() =>
        Peer.openSockets() === before
      )
    }))
})
