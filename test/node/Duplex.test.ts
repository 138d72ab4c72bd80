import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as childProcess from "node:child_process"
import * as stream from "node:stream"
import * as Address from "../../src/Address.ts"
import * as Duplex from "../../src/node/Duplex.ts"
import { ascii } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"

const pair = (): { readonly ours: stream.Duplex; readonly theirs: stream.Duplex } => {
  const [ours, theirs] = stream.duplexPair()
  return { ours, theirs }
}

/** All that a stream reads until its end. */
const collect = (readable: stream.Readable): Effect.Effect<Buffer> =>
  Effect.async((resume) => {
    const chunks: Array<Buffer> = []
    readable.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () =>
      resume(Effect.succeed(Buffer.concat(chunks))))
  })

describe("a transport of a Duplex", () => {
  it.scopedLive("carries bytes both ways, and half-closes", () =>
    Effect.gen(function*() {
      const { ours, theirs } = pair()
      const transport = yield* Duplex.from(ours)
      assert.strictEqual(transport.unsafeHandle, ours)
      const received = yield* Effect.fork(collect(theirs))
      yield* transport.write(ascii("one "))
      yield* transport.writeAll([ascii("two "), ascii("three")])
      yield* transport.closeWrite
      assert.strictEqual((yield* Fiber.join(received)).toString(), "one two three")
      theirs.end("answer")
      assert.strictEqual((yield* Peer.readAll(transport)).toString(), "answer")
      assert.deepInclude(yield* transport.closed, {
        _tag: "Clean",
        firstEnded: "local",
        peerEnded: true,
        bytesRead: 6,
        bytesWritten: 13
      })
    }))

  it.scopedLive("has pipe addresses, or those that are given, and no socket options", () =>
    Effect.gen(function*() {
      const plain = yield* Duplex.from(pair().ours)
      assert.strictEqual(Address.format(plain.localAddress), Address.format(Address.pipe("local")))
      assert.strictEqual(Address.format(plain.remoteAddress), Address.format(Address.pipe("duplex")))
      assert.deepStrictEqual(plain.options, { noDelay: undefined, keepAlive: undefined })
      const [localAddress, remoteAddress] = [Address.pipe("here"), Address.tcp("192.0.2.1", 22)]
      const named = yield* Duplex.from(pair().ours, { localAddress, remoteAddress })
      assert.strictEqual(named.localAddress, localAddress)
      assert.strictEqual(named.remoteAddress, remoteAddress)
      yield* Effect.all([plain.abort, named.abort])
    }))

  it.scopedLive("reads nothing before the first pull", () =>
    Effect.gen(function*() {
      let asked = 0
      const duplex = new stream.Duplex({
        highWaterMark: 1,
        read() {
          asked++
          this.push("x")
        },
        write: (_chunk, _encoding, done) => done()
      })
      const transport = yield* Duplex.from(duplex)
      yield* Peer.turns(10)
      assert.strictEqual(asked, 0)
      assert.strictEqual((yield* transport.pull)!.length, 1)
      yield* transport.abort
    }))

  it.scopedLive("has the end of an input that had ended before", () =>
    Effect.gen(function*() {
      const { ours, theirs } = pair()
      theirs.end()
      yield* collect(ours)
      const transport = yield* Duplex.from(ours)
      assert.isNull(yield* transport.pull)
      yield* transport.write(ascii("and its answer"))
      yield* Effect.fork(transport.closeWrite)
      assert.strictEqual((yield* collect(theirs)).toString(), "and its answer")
    }))

  it.scopedLive("ends in order with a stream that ends both ways at once, and finds nobody who reads", () =>
    Effect.gen(function*() {
      const ended = Effect.gen(function*() {
        const duplex = new stream.Duplex({
          allowHalfOpen: false,
          read() {},
          write: (_chunk, _encoding, done) => done()
        })
        const transport = yield* Duplex.from(duplex)
        duplex.push("x")
        duplex.push(null)
        const closed = new Promise((resolve) => duplex.once("close", resolve))
        assert.strictEqual((yield* Peer.readAll(transport)).toString(), "x")
        yield* Effect.promise(() => closed)
        return transport
      })
      const silent = yield* ended
      yield* silent.close
      assert.deepInclude(yield* silent.closed, { _tag: "Clean", firstEnded: "peer", bytesRead: 1 })
      const writing = yield* ended
      yield* writing.write(ascii("late"))
      assert.deepInclude(yield* Effect.flip(writing.flush), { _tag: "BrokenPipe", bytesUnsent: 4 })
      yield* writing.closed
    }))

  it.scopedLive("has the end of an output that had ended before", () =>
    Effect.gen(function*() {
      const { ours, theirs } = pair()
      theirs.resume()
      yield* Effect.promise(() => new Promise<void>((resolve) => ours.end(resolve)))
      const transport = yield* Duplex.from(ours)
      yield* transport.closeWrite
      theirs.end("answer")
      assert.strictEqual((yield* Peer.readAll(transport)).toString(), "answer")
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))

  it.scopedLive("lets the event loop turn, where the stream does not", () =>
    Effect.gen(function*() {
      const endless = new stream.Duplex({
        read() {
          this.push("x")
        },
        write: (_chunk, _encoding, done) => done()
      })
      const source = yield* Duplex.from(endless, { lingerTimeout: 0 })
      yield* source.pull
      yield* source.close
      assert.strictEqual((yield* source.closed)._tag, "Clean")

      const { ours, theirs } = pair()
      const [near, far] = [yield* Duplex.from(ours), yield* Duplex.from(theirs)]
      yield* Effect.forkScoped(far.forEach(far.write))
      let rounds = 0
      const loop = { turned: false }
      setImmediate(() => void (loop.turned = true))
      while (!loop.turned && rounds++ < 10_000) {
        yield* near.write(ascii("x"))
        yield* near.pull
      }
      assert.isBelow(rounds, 200)
      yield* Effect.all([near.abort, far.abort])
    }))

  it.scopedLive("is lost when the stream closes without an end", () =>
    Effect.gen(function*() {
      const { ours } = pair()
      const transport = yield* Duplex.from(ours)
      const pulling = yield* Effect.fork(Effect.flip(transport.pull))
      yield* Peer.turns(1)
      ours.destroy()
      assert.deepInclude(yield* Fiber.join(pulling), { _tag: "ConnectionReset", code: "ERR_STREAM_PREMATURE_CLOSE" })
      assert.strictEqual((yield* transport.closed)._tag, "Lost")
    }))

  it.scopedLive("has sent nothing that was written when the stream was destroyed, and not yet closed", () =>
    Effect.gen(function*() {
      const { ours } = pair()
      const transport = yield* Duplex.from(ours)
      ours.destroy()
      yield* transport.write(ascii("lost"))
      assert.deepInclude(yield* Effect.flip(transport.flush), { bytesWritten: 0, bytesUnsent: 4 })
    }))

  it.scopedLive("is lost by the stream's own error, whether or not anybody waits", () =>
    Effect.gen(function*() {
      for (
        const [code, tag] of [["EPIPE", "BrokenPipe"], ["ETIMEDOUT", "ConnectionTimedOut"], [
          "EODD",
          "ConnectionFailed"
        ]]
      ) {
        const { ours } = pair()
        const transport = yield* Duplex.from(ours)
        const cause = Object.assign(new Error("odd"), { code, syscall: "write" })
        ours.destroy(cause)
        const reason = yield* transport.closed
        if (reason._tag !== "Lost") return assert.fail("not lost")
        assert.deepInclude(reason.error, { code, syscall: "write" })
        assert.strictEqual<string | undefined>(reason.error._tag, tag)
        assert.strictEqual(reason.error.cause, cause)
        assert.strictEqual(yield* Effect.flip(transport.pull), reason.error)
        assert.strictEqual(yield* Effect.flip(transport.write(ascii("x"))), reason.error)
      }
    }))

  it.scopedLive("destroys the stream when it is aborted", () =>
    Effect.gen(function*() {
      const { ours } = pair()
      const transport = yield* Duplex.from(ours)
      yield* transport.abort
      assert.isTrue(ours.destroyed)
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
    }))

  it.scopedLive("D1 waits while the stream does not take more", () =>
    Effect.gen(function*() {
      const waiting: Array<() => void> = []
      const duplex = new stream.Duplex({
        read() {},
        write: (_chunk, _encoding, done) => void waiting.push(done)
      })
      const transport = yield* Duplex.from(duplex, { highWaterMark: 10 })
      yield* transport.write(new Uint8Array(10))
      const writing = yield* Effect.fork(transport.write(new Uint8Array(1)))
      const flushing = yield* Effect.fork(transport.flush)
      yield* Peer.turns(5)
      assert.deepInclude(transport.stats(), { buffered: 10, writersWaiting: 1, bytesWritten: 0 })
      waiting.shift()!()
      yield* Fiber.join(writing)
      yield* Fiber.join(flushing)
      assert.deepInclude(transport.stats(), { buffered: 1, bytesWritten: 10 })
      waiting.shift()!()
      yield* transport.flush
      yield* transport.abort
    }))

  const writing = FastCheck.array(FastCheck.array(FastCheck.integer({ min: 0, max: 200 }), { maxLength: 5 }), {
    maxLength: 12
  })
  const taking = FastCheck.array(FastCheck.constantFrom("now", "tick", "turn"), { minLength: 1, maxLength: 8 })

  it.live("hands over every byte, in order, whenever the stream takes them", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          writing,
          taking,
          FastCheck.boolean(),
          FastCheck.integer({ min: 1, max: 300 }),
          (groups, pace, gathers, highWaterMark) =>
            Effect.runPromise(Effect.scoped(Effect.gen(function*() {
              const received: Array<Uint8Array> = []
              let step = 0
              const take = (chunks: ReadonlyArray<Uint8Array>, done: () => void) => {
                const finish = () => {
                  received.push(...chunks)
                  done()
                }
                const when = pace[step++ % pace.length]
                if (when === "now") finish()
                else if (when === "tick") process.nextTick(finish)
                else setImmediate(finish)
              }
              const duplex = new stream.Duplex({
                read() {},
                write: (chunk: Uint8Array, _encoding, done) => take([chunk], done),
                ...(gathers
                  ? {
                    writev: (chunks: ReadonlyArray<{ readonly chunk: Uint8Array }>, done: () => void) =>
                      take(chunks.map(({ chunk }) => chunk), done)
                  }
                  : {})
              })
              const transport = yield* Duplex.from(duplex, { highWaterMark, lingerTimeout: 0 })
              const sent: Array<Uint8Array> = []
              for (const [index, sizes] of groups.entries()) {
                const chunks = sizes.map((size) => Peer.pattern(size).fill(sent.length % 256))
                sent.push(...chunks)
                yield* transport.writeAll(chunks)
                if (index % 3 === 0) yield* Peer.turns(1)
                if (index % 5 === 4) {
                  yield* transport.flush
                  assert.strictEqual(Buffer.concat(received).length, Buffer.concat(sent).length)
                }
              }
              yield* transport.close
              assert.isTrue(Buffer.concat(received).equals(Buffer.concat(sent)))
              assert.deepInclude(yield* transport.closed, { _tag: "Clean", bytesWritten: Buffer.concat(sent).length })
            })))
        ),
        { numRuns: 100 }
      )
    ))

  it.scopedLive("joins a program's standard output and input", () =>
    Effect.gen(function*() {
      const child = childProcess.spawn("cat", { stdio: ["pipe", "pipe", "inherit"] })
      const transport = yield* Duplex.from(stream.Duplex.from({ readable: child.stdout, writable: child.stdin }))
      const sent = Peer.pattern(1024 * 1024)
      const writing = yield* Effect.fork(
        Effect.zipRight(Stream.run(Stream.make(sent, sent), transport.sink), transport.closeWrite)
      )
      assert.isTrue((yield* Peer.readAll(transport)).equals(Buffer.concat([sent, sent])))
      yield* Fiber.join(writing)
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))

  it.live("cannot be made of a stream in object mode or of text, or of one that is destroyed", () =>
    Effect.gen(function*() {
      const destroyed = pair().ours
      destroyed.destroy()
      const wrong = [
        new stream.PassThrough({ objectMode: true }),
        new stream.PassThrough({ readableObjectMode: true }),
        new stream.PassThrough({ writableObjectMode: true }),
        new stream.PassThrough({ encoding: "utf8" }),
        destroyed
      ]
      for (const duplex of wrong) {
        const exit = yield* Effect.exit(Effect.scoped(Duplex.from(duplex)))
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof TypeError)
      }
    }))
})
