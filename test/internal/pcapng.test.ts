import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { concat } from "../../src/internal/bytes.ts"
import * as Pcapng from "../../src/internal/pcapng.ts"
import { ascii } from "../support/bytes.ts"
import { readBlocks, readOptions } from "../support/capture.ts"

describe("pcapng", () => {
  it("begins with a section of version 1.0, in network byte order, that says what wrote it", () => {
    const [section] = readBlocks(Pcapng.sectionHeader("effect-transport"))
    assert.strictEqual(section?.type, 0x0a0d0d0a)
    assert.strictEqual(section?.body.subarray(0, 16).toString("hex"), "1a2b3c4d00010000ffffffffffffffff")
    assert.strictEqual(readOptions(section!.body.subarray(16)).get(4)?.toString(), "effect-transport")
  })

  it("describes an interface by its name, for IP packets and nanoseconds", () => {
    const [description] = readBlocks(Pcapng.interfaceDescription("Zürich"))
    assert.strictEqual(description?.type, 1)
    assert.strictEqual(description?.body.subarray(0, 8).toString("hex"), "0065000000000000")
    const options = readOptions(description!.body.subarray(8))
    assert.strictEqual(options.get(2)?.toString(), "Zürich")
    assert.deepStrictEqual([...options.get(9)!], [9])
  })

  it("names addresses of both families", () => {
    const [names] = readBlocks(Pcapng.nameResolution([
      [Uint8Array.of(10, 0, 0, 1), "a"],
      [new Uint8Array(16).fill(1), "bc"]
    ]))
    assert.strictEqual(names?.type, 4)
    assert.strictEqual(
      names?.body.toString("hex"),
      ["00010006", "0a000001", "61000000", "00020013", "01".repeat(16), "62630000", "00000000"].join("")
    )
  })

  it.prop(
    "writes packets that can be read back",
    [FastCheck.array(FastCheck.record({
      interface: FastCheck.nat(11),
      direction: FastCheck.constantFrom("in" as const, "out" as const),
      at: FastCheck.bigInt({ min: 0n, max: 2n ** 63n }),
      bytes: FastCheck.uint8Array({ maxLength: 30 }),
      comment: FastCheck.option(FastCheck.string(), { nil: undefined })
    }))],
    ([packets]) => {
      const blocks = readBlocks(concat(packets.map(Pcapng.enhancedPacket)))
      assert.strictEqual(blocks.length, packets.length)
      packets.forEach((packet, index) => {
        const { body, type } = blocks[index]!
        const { length } = packet.bytes
        assert.strictEqual(type, 6)
        assert.strictEqual(body.readUInt32BE(0), packet.interface)
        assert.strictEqual(body.readBigUInt64BE(4), packet.at)
        assert.deepStrictEqual([body.readUInt32BE(12), body.readUInt32BE(16)], [length, length])
        assert.deepStrictEqual(new Uint8Array(body.subarray(20, 20 + length)), packet.bytes)
        const options = readOptions(body.subarray(20 + Math.ceil(length / 4) * 4))
        assert.strictEqual(options.get(1)?.toString(), packet.comment)
        assert.strictEqual(options.get(2)?.readUInt32BE(0), packet.direction === "in" ? 1 : 2)
      })
    }
  )

  it("refuses a comment that no option can hold", () => {
    const packet = { interface: 0, direction: "in", at: 0n, bytes: ascii("") } as const
    assert.strictEqual(readBlocks(Pcapng.enhancedPacket({ ...packet, comment: "x".repeat(65535) })).length, 1)
    assert.throws(() => Pcapng.enhancedPacket({ ...packet, comment: "x".repeat(65536) }), RangeError)
  })
})
