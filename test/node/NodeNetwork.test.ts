import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as path from "node:path"
import * as url from "node:url"
import * as Address from "../../src/Address.ts"
import * as Network from "../../src/Network.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as Peer from "../support/peer.ts"
import { shell } from "../support/tool.ts"

describe("the operating system's network", () => {
  for (const carrier of Peer.carriers) {
    it.scopedLive(`listens and connects (${carrier})`, () =>
      Effect.gen(function*() {
        const listener = yield* Effect.flatMap(Peer.free(carrier), (address) => Network.listen(address))
        const client = yield* Network.connect(listener.address)
        const server = yield* listener.accept
        yield* client.write(new Uint8Array([1, 2, 3]))
        assert.deepStrictEqual([...(yield* server.pull)!], [1, 2, 3])
        yield* Effect.all([client.close, server.close], { concurrency: "unbounded" })
      }).pipe(Effect.provide(NodeNetwork.layer)))
  }

  it.live("refuses an address of another network", () =>
    Effect.gen(function*() {
      const address = Address.pipe("stdio")
      for (const attempt of [Peer.opening(Network.listen(address)), Peer.opening(Network.connect(address))]) {
        const error = yield* Effect.flip<void, { readonly _tag: string }, Network.Network>(attempt)
        assert.strictEqual(error._tag, "AddressUnsupported")
        assert.strictEqual((error as typeof error & { readonly address: unknown }).address, address)
      }
    }).pipe(Effect.provide(NodeNetwork.layer)))
})

describe("resolve", () => {
  const equal = (actual: ReadonlyArray<Address.TcpAddress>, expected: ReadonlyArray<Address.TcpAddress>) => {
    assert.strictEqual(actual.length, expected.length)
    actual.forEach((address, index) => assert.isTrue(Equal.equals(address, expected[index])))
  }

  it.live("gives a literal as its own address, with the port", () =>
    Effect.gen(function*() {
      equal(yield* Network.resolve("127.0.0.1", { port: 80 }), [Address.tcp("127.0.0.1", 80)])
      equal(yield* Network.resolve("::1"), [Address.tcp("::1", 0)])
      equal(yield* Network.resolve("fe80::1%lo", { port: 1 }), [Address.tcp("fe80::1%lo", 1)])
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.live("gives all addresses of a name, or those of one family", () =>
    Effect.gen(function*() {
      const all = yield* Network.resolve("localhost", { port: 80 })
      assert.isAtLeast(all.length, 1)
      assert.isTrue(all.every(({ host, port }) => port === 80 && (host === "127.0.0.1" || host === "::1")))
      equal(yield* Network.resolve("localhost", { port: 80, family: "IPv4" }), [Address.tcp("127.0.0.1", 80)])
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.live("finds no address for a literal of the other family, an empty name, and what cannot be a name", () =>
    Effect.gen(function*() {
      const impossible = ["", "a..b", "x".repeat(300), "\0"]
      for (
        const attempt of [
          Network.resolve("127.0.0.1", { family: "IPv6" }),
          Network.resolve("::1", { family: "IPv4" }),
          ...impossible.map((host) => Network.resolve(host))
        ]
      ) {
        assert.strictEqual((yield* Effect.flip(attempt))._tag, "HostNotFound")
      }
      const other = yield* Effect.flip(Network.resolve("127.0.0.1", { family: "IPv6" }))
      assert.strictEqual(
        other.message,
        `Cannot find the host "127.0.0.1": no IPv6 address is known for this name.`
      )
      // No literal here, but getaddrinfo(3) knows it as an IPv4 address: as of any name without one of the other family.
      const ofIpv4 = yield* Effect.flip(Network.resolve("127.1", { family: "IPv6" }))
      assert.deepInclude(ofIpv4, { _tag: "HostNotFound", family: "IPv6" })
      const error = yield* Effect.flip(Network.resolve("a..b"))
      assert.strictEqual(error.host, "a..b")
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.scopedLive("cannot tell that there is no such name while no descriptor is left", () =>
    Effect.gen(function*() {
      const module = (file: string) => url.pathToFileURL(path.resolve(import.meta.dirname, file)).href
      const program = yield* shell(`ulimit -n 256; exec "$node" --import tsx --input-type=module --eval "$script"`, {
        node: process.execPath,
        script: `
          import * as Effect from "effect/Effect"
          import * as fs from "node:fs"
          import * as Network from "${module("../../src/Network.ts")}"
          import * as NodeNetwork from "${module("../../src/node/NodeNetwork.ts")}"
          const open = []
          try { for (;;) open.push(fs.openSync("/dev/null")) } catch {}
          const resolved = Effect.provide(Network.resolve("localhost"), NodeNetwork.layer)
          const error = await Effect.runPromise(Effect.flip(resolved))
          open.forEach((descriptor) => fs.closeSync(descriptor))
          console.log(error._tag, error.host)`
      })
      yield* program.ended
      assert.strictEqual(program.output, "TooManyOpenFiles localhost\n", program.stderr)
    }))
})
