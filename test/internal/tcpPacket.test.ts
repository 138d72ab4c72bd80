import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Address from "../../src/Address.ts"
import { handshakeOptions, maxPayload, tcpPacket } from "../../src/internal/tcpPacket.ts"
import { readPacket } from "../support/capture.ts"

const port = FastCheck.nat(65535)
const ipv4 = FastCheck.tuple(FastCheck.ipV4(), port)
const ipv6 = FastCheck.tuple(FastCheck.ipV6(), port)
// Some of these are IPv4 addresses in the clothes of IPv6.
const ends = FastCheck.oneof(FastCheck.tuple(ipv4, ipv4), FastCheck.tuple(ipv6, ipv6))
  .map((pair) => pair.map(([host, port]) => Address.tcp(host, port)) as [Address.TcpAddress, Address.TcpAddress])
  .filter(([source, destination]) => source.family === destination.family)

const flag = FastCheck.boolean()

const base = {
  source: Address.tcp("10.0.0.1", 80),
  destination: Address.tcp("10.0.0.2", 1024),
  sequence: 0,
  acknowledgement: 0,
  window: 0,
  payload: new Uint8Array(0)
}

describe("tcpPacket", () => {
  it.prop(
    "can be read back, with right lengths and checksums",
    [
      ends,
      FastCheck.record({
        syn: flag,
        ack: flag,
        fin: flag,
        rst: flag,
        sequence: FastCheck.nat(2 ** 32 - 1),
        acknowledgement: FastCheck.nat(2 ** 32 - 1),
        window: FastCheck.nat(65535),
        options: FastCheck.constantFrom(undefined, handshakeOptions(1460, 7)),
        payload: FastCheck.uint8Array({ maxLength: 40 }),
        identification: FastCheck.nat(65535)
      })
    ],
    ([[source, destination], fields]) => {
      const packet = readPacket(tcpPacket({ source, destination, ...fields }))
      assert.strictEqual(packet.version, source.family === "IPv4" ? 4 : 6)
      assert.deepStrictEqual(packet.ports, [source.port, destination.port])
      assert.strictEqual(packet.sequence, fields.sequence)
      assert.strictEqual(packet.acknowledgement, fields.ack ? fields.acknowledgement : 0)
      assert.strictEqual(packet.window, fields.window)
      assert.deepStrictEqual(
        [1, 2, 4, 16].map((bit) => (packet.flags & bit) !== 0),
        [fields.fin, fields.syn, fields.rst, fields.ack]
      )
      assert.strictEqual(packet.options.toString("hex"), fields.options === undefined ? "" : "020405b401030307")
      assert.deepStrictEqual(packet.payload, fields.payload)
    }
  )

  it("has the addresses where they belong", () => {
    const v4 = readPacket(tcpPacket(base))
    assert.deepStrictEqual([v4.source, v4.destination], ["0a000001", "0a000002"])
    const v6 = readPacket(tcpPacket({
      ...base,
      source: Address.tcp("fd00::1", 80),
      destination: Address.tcp("fe80::2%eth0", 80)
    }))
    assert.strictEqual(v6.source, "fd000000000000000000000000000001")
    assert.strictEqual(v6.destination, "fe800000000000000000000000000002")
  })

  it("counts modulo 2³²", () => {
    const packet = readPacket(tcpPacket({ ...base, ack: true, sequence: 2 ** 32 + 5, acknowledgement: 2 ** 40 - 1 }))
    assert.deepStrictEqual([packet.sequence, packet.acknowledgement], [5, 2 ** 32 - 1])
  })

  it("carries as much as fits beside the longest headers, and refuses more", () => {
    for (const host of ["10.0.0.1", "fd00::1"]) {
      const ends = { source: Address.tcp(host, 1), destination: Address.tcp(host, 2), options: new Uint8Array(40) }
      const packet = readPacket(tcpPacket({ ...base, ...ends, payload: new Uint8Array(maxPayload).fill(255) }))
      assert.strictEqual(packet.payload.length, maxPayload)
    }
    assert.throws(() => tcpPacket({ ...base, payload: new Uint8Array(maxPayload + 1) }), RangeError)
  })
})
