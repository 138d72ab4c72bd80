/** Reads pcapng, and the TCP packets in it, and throws at whatever is not as it has to be. */
import { strict as assert } from "node:assert"

export interface Block {
  readonly type: number
  readonly body: Buffer
}

export const readBlocks = (bytes: Uint8Array): ReadonlyArray<Block> => {
  const all = Buffer.from(bytes)
  const blocks: Array<Block> = []
  for (let at = 0; at < all.length;) {
    const length = all.readUInt32BE(at + 4)
    assert.equal(length % 4, 0)
    assert.ok(at + length <= all.length)
    assert.equal(all.readUInt32BE(at + length - 4), length)
    blocks.push({ type: all.readUInt32BE(at), body: all.subarray(at + 8, at + length - 4) })
    at += length
  }
  return blocks
}

/** Codes and values, up to the end of options, which has to be the end of the block. */
export const readOptions = (bytes: Buffer): ReadonlyMap<number, Buffer> => {
  const options = new Map<number, Buffer>()
  for (let at = 0; at < bytes.length;) {
    const [code, length] = [bytes.readUInt16BE(at), bytes.readUInt16BE(at + 2)]
    if (code === 0) {
      assert.deepEqual([length, at + 4], [0, bytes.length])
      break
    }
    options.set(code, bytes.subarray(at + 4, at + 4 + length))
    const next = at + 4 + Math.ceil(length / 4) * 4
    assert.ok(bytes.subarray(at + 4 + length, next).every((byte) => byte === 0))
    at = next
  }
  return options
}

/** One's complement: 2¹⁶ is 1 modulo 2¹⁶ − 1, so what is summed up right leaves nothing. */
const sumsUp = (...parts: ReadonlyArray<Uint8Array>): boolean => {
  const whole = Buffer.concat(parts)
  const even = whole.length % 2 === 0 ? whole : Buffer.concat([whole, Buffer.alloc(1)])
  return BigInt(`0x${even.toString("hex")}`) % 65535n === 0n
}

export const readPacket = (bytes: Uint8Array) => {
  const packet = Buffer.from(bytes)
  const version = packet[0]! >> 4
  const headerLength = version === 4 ? 20 : 40
  const [source, destination] = version === 4
    ? [packet.subarray(12, 16), packet.subarray(16, 20)]
    : [packet.subarray(8, 24), packet.subarray(24, 40)]
  if (version === 4) {
    assert.equal(packet[0], 0x45)
    assert.equal(packet.readUInt16BE(2), packet.length)
    assert.equal(packet[9], 6)
    assert.ok(sumsUp(packet.subarray(0, 20)))
  } else {
    assert.equal(version, 6)
    assert.equal(packet.readUInt16BE(4), packet.length - 40)
    assert.equal(packet[6], 6)
  }
  const tcp = packet.subarray(headerLength)
  assert.ok(sumsUp(source, destination, Buffer.from([0, 6, tcp.length >> 8, tcp.length & 0xff]), tcp))
  const dataOffset = (tcp[12]! >> 4) * 4
  return {
    version,
    source: source.toString("hex"),
    destination: destination.toString("hex"),
    ports: [tcp.readUInt16BE(0), tcp.readUInt16BE(2)],
    sequence: tcp.readUInt32BE(4),
    acknowledgement: tcp.readUInt32BE(8),
    flags: tcp[13]!,
    window: tcp.readUInt16BE(14),
    options: tcp.subarray(20, dataOffset),
    payload: new Uint8Array(tcp.subarray(dataOffset))
  }
}

export const readCapture = (bytes: Uint8Array) => {
  const [section, ...blocks] = readBlocks(bytes)
  assert.equal(section?.type, 0x0a0d0d0a)
  assert.equal(section?.body.readUInt32BE(0), 0x1a2b3c4d)
  assert.equal(section?.body.readUInt32BE(4), 0x00010000)
  readOptions(section.body.subarray(16))

  const interfaces: Array<string> = []
  const names = new Map<string, string>()
  const packets: Array<
    & { interface: string; direction: "in" | "out"; at: bigint; comment: string | undefined }
    & ReturnType<
      typeof readPacket
    >
  > = []
  for (const { body, type } of blocks) {
    if (type === 1) {
      assert.equal(body.readUInt16BE(0), 101)
      const options = readOptions(body.subarray(8))
      assert.deepEqual([...options.get(9)!], [9])
      interfaces.push(options.get(2)!.toString())
    } else if (type === 4) {
      for (let at = 0; body.readUInt16BE(at) !== 0;) {
        const [code, length] = [body.readUInt16BE(at), body.readUInt16BE(at + 2)]
        const address = body.subarray(at + 4, at + 4 + (code === 1 ? 4 : 16))
        const name = body.subarray(at + 4 + address.length, at + 4 + length)
        assert.equal(name.at(-1), 0)
        names.set(address.toString("hex"), name.subarray(0, -1).toString())
        at += 4 + Math.ceil(length / 4) * 4
      }
    } else {
      assert.equal(type, 6)
      const length = body.readUInt32BE(12)
      assert.equal(body.readUInt32BE(16), length)
      const options = readOptions(body.subarray(20 + Math.ceil(length / 4) * 4))
      packets.push({
        interface: interfaces[body.readUInt32BE(0)]!,
        direction: options.get(2)!.readUInt32BE(0) === 1 ? "in" : "out",
        at: body.readBigUInt64BE(4),
        comment: options.get(1)?.toString(),
        ...readPacket(body.subarray(20, 20 + length))
      })
    }
  }
  return { interfaces, names, packets }
}
