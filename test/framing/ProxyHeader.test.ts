import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Address from "../../src/Address.ts"
import * as Codec from "../../src/Codec.ts"
import { crc32c } from "../../src/framing/internal/crc32c.ts"
import * as ProxyHeader from "../../src/framing/ProxyHeader.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, joined, text } from "../support/bytes.ts"
import { decoded, encoded, invalid, truncated, unencodable } from "../support/decoding.ts"

const codec = ProxyHeader.codec()

const proxied = (
  source: ProxyHeader.Proxied["source"],
  destination: ProxyHeader.Proxied["source"],
  more: Partial<ProxyHeader.Proxied> = {}
): ProxyHeader.Proxied => ({
  _tag: "Proxied",
  version: 2,
  socket: "stream",
  source,
  destination,
  extensions: [],
  ...more
})

const v4 = [Address.tcp("192.0.2.1", 56324), Address.tcp("192.0.2.11", 443)] as const
const v6 = [Address.tcp("2001:db8::1", 1), Address.tcp("2001:db8:ffff::", 65535)] as const

const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

/** A header of version 2 by its parts. */
const binary = (versionAndCommand: number, family: number, rest: ReadonlyArray<number>, length = rest.length) =>
  Uint8Array.of(...signature, versionAndCommand, family, length >> 8, length & 0xff, ...rest)

const inet = [192, 0, 2, 1, 192, 0, 2, 11, 0xdc, 0x04, 1, 0xbb]

const tlv = (type: number, ...value: ReadonlyArray<number>) => [type, value.length >> 8, value.length & 0xff, ...value]

const header = (wire: Uint8Array): ProxyHeader.Header => {
  const { failure, frames } = decoded(codec, wire)
  assert.strictEqual(failure, undefined)
  assert.strictEqual(frames.length, 1)
  return frames[0]!
}

const failure = (wire: Uint8Array) => decoded(codec, wire).failure

describe("version 1", () => {
  const version1 = { version: 1 } as const

  it("is a line of text, as in section 2.1 of the specification", () => {
    const frame = proxied(...v4, version1)
    assert.strictEqual(text(encoded(codec, frame)), "PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n")
    assert.deepStrictEqual(header(encoded(codec, frame)), frame)
  })

  it("has IPv6 addresses in any spelling", () => {
    const frame = proxied(...v6, version1)
    assert.strictEqual(text(encoded(codec, frame)), "PROXY TCP6 2001:db8::1 2001:db8:ffff:: 1 65535\r\n")
    const long =
      "PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 2001:0db8:ffff:0000:0000:0000:0000:0000 1 65535\r\n"
    assert.deepStrictEqual(header(ascii(long)), frame)
  })

  it("has its longest lines: 104 bytes of TCP6, 107 of UNKNOWN", () => {
    const full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    const address = Address.tcp(full, 65535)
    assert.deepStrictEqual(
      header(ascii(`PROXY TCP6 ${full} ${full} 65535 65535\r\n`)),
      proxied(address, address, version1)
    )
    const unknown = `PROXY UNKNOWN ${full} ${full} 65535 65535\r\n`
    assert.strictEqual(unknown.length, 107)
    assert.deepStrictEqual(header(ascii(unknown)), { _tag: "Unknown", version: 1, extensions: [] })
    const { frames, failure } = decoded(codec, ascii(unknown.replace("\r\n", "5\r\n")))
    assert.deepStrictEqual(frames, [])
    assert.deepStrictEqual(failure, { _tag: "FrameTooLong", limit: 105, length: undefined })
  })

  it("UNKNOWN is alone, or before anything at all", () => {
    const unknown = { _tag: "Unknown", version: 1, extensions: [] } as const
    assert.deepStrictEqual(header(ascii("PROXY UNKNOWN\r\n")), unknown)
    assert.deepStrictEqual(header(ascii("PROXY UNKNOWN who knows ? \0\r\n")), unknown)
    assert.strictEqual(text(encoded(codec, unknown)), "PROXY UNKNOWN\r\n")
  })

  it("maps an IPv4 address that stands beside an IPv6 one, and takes a dotted tail", () => {
    const frame = proxied(v4[0], v6[1], version1)
    assert.strictEqual(text(encoded(codec, frame)), "PROXY TCP6 ::ffff:c000:201 2001:db8:ffff:: 56324 65535\r\n")
    assert.deepStrictEqual(header(encoded(codec, frame)), frame)
    assert.deepStrictEqual(header(ascii("PROXY TCP6 ::ffff:192.0.2.1 2001:db8:ffff:: 56324 65535\r\n")), frame)
  })

  it("leaves zones out, which mean nothing elsewhere", () => {
    const frame = proxied(Address.tcp("fe80::1%eth0", 1), v6[1], version1)
    assert.strictEqual(text(encoded(codec, frame)), "PROXY TCP6 fe80::1 2001:db8:ffff:: 1 65535\r\n")
  })

  const line = "its line is not that of version 1: PROXY TCP4 source destination port port"
  for (
    const [what, wire, reason] of [
      ["a port above 65535", "PROXY TCP4 1.1.1.1 2.2.2.2 65536 1", "\"65536\" is no port"],
      ["a port of six digits", "PROXY TCP4 1.1.1.1 2.2.2.2 1 100000", "\"100000\" is no port"],
      ["a port with a leading zero", "PROXY TCP4 1.1.1.1 2.2.2.2 01 1", "\"01\" is no port"],
      ["two zeros as a port", "PROXY TCP4 1.1.1.1 2.2.2.2 1 00", "\"00\" is no port"],
      ["a port with a sign", "PROXY TCP4 1.1.1.1 2.2.2.2 +1 1", "\"+1\" is no port"],
      ["letters as a port", "PROXY TCP4 1.1.1.1 2.2.2.2 http 1", "\"http\" is no port"],
      ["a leading zero in an address", "PROXY TCP4 01.1.1.1 2.2.2.2 1 1", "\"01.1.1.1\" is no address of TCP4"],
      ["three parts of an address", "PROXY TCP4 1.1.1 2.2.2.2 1 1", "\"1.1.1\" is no address of TCP4"],
      ["a part above 255", "PROXY TCP4 1.1.1.1 2.2.2.256 1 1", "\"2.2.2.256\" is no address of TCP4"],
      ["a name", "PROXY TCP4 localhost 2.2.2.2 1 1", "\"localhost\" is no address of TCP4"],
      ["IPv6 in TCP4", "PROXY TCP4 ::1 2.2.2.2 1 1", "\"::1\" is no address of TCP4"],
      ["IPv4 in TCP6", "PROXY TCP6 ::1 2.2.2.2 1 1", "\"2.2.2.2\" is no address of TCP6"],
      ["a zone", "PROXY TCP6 fe80::1%eth0 ::1 1 1", "\"fe80::1%eth0\" is no address of TCP6"],
      ["two double colons", "PROXY TCP6 1::2::3 ::1 1 1", "\"1::2::3\" is no address of TCP6"],
      ["brackets", "PROXY TCP6 [::1] ::1 1 1", "\"[::1]\" is no address of TCP6"],
      ["a token too many", "PROXY TCP4 1.1.1.1 2.2.2.2 1 1 1", line],
      ["a token too few", "PROXY TCP4 1.1.1.1 2.2.2.2 1", line],
      ["two blanks", "PROXY  TCP4 1.1.1.1 2.2.2.2 1 1", line],
      ["two blanks further on", "PROXY TCP4 1.1.1.1  2.2.2.2 1 1", line],
      ["a blank at the end", "PROXY TCP4 1.1.1.1 2.2.2.2 1 1 ", line],
      ["a tab", "PROXY TCP4\t1.1.1.1 2.2.2.2 1 1", line],
      ["small letters", "PROXY tcp4 1.1.1.1 2.2.2.2 1 1", line],
      ["another protocol", "PROXY UDP4 1.1.1.1 2.2.2.2 1 1", line],
      ["an UNKNOWN that goes on", "PROXY UNKNOWNS", line],
      ["nothing", "PROXY ", line],
      ["a LF alone in an UNKNOWN", "PROXY UNKNOWN\nPROXY", line],
      ["a CR alone in an UNKNOWN", "PROXY UNKNOWN \rPROXY", line]
    ] as const
  ) {
    it(`is refused: ${what}`, () => {
      assert.deepStrictEqual(decoded(codec, ascii(`${wire}\r\n`)), { frames: [], failure: invalid(reason) })
    })
  }

  it("has no other end than CRLF", () => {
    const wire = "PROXY TCP4 1.1.1.1 2.2.2.2 1 1"
    assert.deepStrictEqual(failure(ascii(`${wire}\n`)), truncated(wire.length + 1))
    assert.deepStrictEqual(failure(ascii(`${wire}\r`)), truncated(wire.length + 1))
    assert.deepStrictEqual(failure(ascii(`${wire}\nGET / HTTP/1.1\r\n`)), invalid(line))
  })

  it("cannot say everything", () => {
    const cannot = (header: ProxyHeader.Header) => unencodable(codec, header)
    const extensions = [{ _tag: "Checksum" }] as const
    const unix = [Address.unix("/a"), Address.unix("/b")] as const
    assert.deepInclude(cannot(proxied(...v4, { version: 1, extensions })), invalid("version 1 has no extensions"))
    const tcpAlone = invalid("version 1 has addresses of TCP alone")
    assert.deepInclude(cannot(proxied(...unix, version1)), tcpAlone)
    assert.deepInclude(cannot(proxied(...v4, { version: 1, socket: "datagram" })), tcpAlone)
  })
})

describe("version 2", () => {
  it("has the bytes of section 2.2 of the specification", () => {
    const wire = binary(0x21, 0x11, inet)
    assert.deepStrictEqual(encoded(codec, proxied(...v4)), wire)
    assert.deepStrictEqual(header(wire), proxied(...v4))
    assert.deepStrictEqual(header(binary(0x21, 0x12, inet)), proxied(...v4, { socket: "datagram" }))
  })

  it("has IPv6 addresses", () => {
    const wire = encoded(codec, proxied(...v6))
    assert.strictEqual(wire.length, 16 + 36)
    assert.strictEqual(wire[13], 0x21)
    assert.deepStrictEqual(header(wire), proxied(...v6))
  })

  it("maps an IPv4 address that stands beside an IPv6 one, and leaves zones out", () => {
    const mixed = proxied(v6[0], v4[1])
    assert.strictEqual(encoded(codec, mixed).length, 16 + 36)
    assert.deepStrictEqual(header(encoded(codec, mixed)), mixed)
    const zoned = proxied(Address.tcp("fe80::1%eth0", 1), v6[1])
    assert.deepStrictEqual(header(encoded(codec, zoned)), proxied(Address.tcp("fe80::1", 1), v6[1]))
  })

  for (
    const [what, path] of [
      ["a path", "/run/app.sock"],
      ["an abstract name", "\0app"],
      ["no name", ""],
      ["a path of 108 bytes", `/${"ä".repeat(53)}x`]
    ] as const
  ) {
    it(`has UNIX-domain addresses: ${what}`, () => {
      const frame = proxied(Address.unix(path), Address.unix("/run/proxy.sock"))
      const wire = encoded(codec, frame)
      assert.strictEqual(wire.length, 16 + 216)
      assert.strictEqual(wire[13], 0x31)
      assert.deepStrictEqual(header(wire), frame)
    })
  }

  it("ignores what stands behind the NUL of a path", () => {
    const wire = binary(0x21, 0x31, [...joined([ascii("/a\0junk"), bytes(101), ascii("/b"), bytes(106)])])
    assert.deepStrictEqual(header(wire), proxied(Address.unix("/a"), Address.unix("/b")))
  })

  it("LOCAL is the proxy's own, whatever stands in the rest", () => {
    const local = { _tag: "Local", version: 2, extensions: [] } as const
    assert.deepStrictEqual(encoded(codec, local), binary(0x20, 0, []))
    for (
      const wire of [binary(0x20, 0, []), binary(0x20, 0x11, inet), binary(0x20, 0xff, inet), binary(0x20, 0x21, [1])]
    ) {
      assert.deepStrictEqual(header(wire), local)
    }
  })

  it("an unspecified family or protocol is of an unknown client, whatever stands in the rest", () => {
    const unknown = { _tag: "Unknown", version: 2, extensions: [] } as const
    assert.deepStrictEqual(encoded(codec, unknown), binary(0x21, 0, []))
    for (const family of [0x00, 0x01, 0x02, 0x10, 0x20, 0x30]) {
      assert.deepStrictEqual(header(binary(0x21, family, [])), unknown)
      assert.deepStrictEqual(header(binary(0x21, family, [9, 9])), unknown)
    }
  })

  it("LOCAL and UNSPEC have extensions, as haproxy sends them", () => {
    const extensions = [{ _tag: "Authority", name: "example.org" }, { _tag: "Checksum" }] as const
    for (
      const frame of [{ _tag: "Local", version: 2, extensions }, { _tag: "Unknown", version: 2, extensions }] as const
    ) {
      assert.deepStrictEqual(header(encoded(codec, frame)), frame)
    }
  })

  it("is followed by any bytes, which it leaves", () => {
    const { frames, next, unread } = codec.step(joined([binary(0x21, 0x11, inet), ascii("GET /")]), 1)
    assert.deepStrictEqual(frames, [proxied(...v4)])
    assert.strictEqual(text(unread), "GET /")
    assert.strictEqual(next.rest().length, 0)
  })

  for (
    const [what, wire, reason] of [
      ["version 1 in it", binary(0x11, 0x11, inet), "it is of version 1, with the signature of 2"],
      ["version 3", binary(0x31, 0x11, inet), "it is of version 3, with the signature of 2"],
      ["another command", binary(0x22, 0x11, inet), "its command is 2, and neither LOCAL, 0, nor PROXY, 1"],
      ["another family", binary(0x21, 0x41, inet), "its family 4 and protocol 1 are not assigned"],
      ["another protocol", binary(0x21, 0x13, inet), "its family 1 and protocol 3 are not assigned"],
      ["too few bytes for IPv4", binary(0x21, 0x11, inet.slice(1)), "its length 11 is too short for its addresses"],
      ["none for IPv6", binary(0x21, 0x21, []), "its length 0 is too short for its addresses"],
      ["too few for paths", binary(0x21, 0x31, [...bytes(215)]), "its length 215 is too short for its addresses"],
      [
        "half an extension's head",
        binary(0x21, 0x11, [...inet, 1, 0]),
        "it ends within the type and length of an extension"
      ],
      [
        "an extension that is too long",
        binary(0x21, 0x11, [...inet, 0xea, 0, 2, 1]),
        "it ends within its extension of type 0xea"
      ]
    ] as const
  ) {
    it(`is refused: ${what}`, () => {
      assert.deepStrictEqual(decoded(codec, wire), { frames: [], failure: invalid(reason) })
    })
  }

  it("cannot say everything", () => {
    const cannot = (header: ProxyHeader.Header) => unencodable(codec, header)
    const unix = Address.unix("/a")
    assert.deepInclude(
      cannot(proxied(unix, v4[0])),
      invalid("one of its addresses is a UNIX-domain address and the other one is not")
    )
    for (const path of [`/${"x".repeat(108)}`, "/a\0b", "\0a\0", "\ud800"]) {
      assert.strictEqual(cannot(proxied(Address.unix(path), unix))["_tag"], "InvalidFrame", JSON.stringify(path))
    }
    assert.deepInclude(
      cannot(proxied(...v4, { extensions: [{ _tag: "Checksum" }, { _tag: "Checksum" }] })),
      invalid("it has more than one checksum")
    )
    assert.deepInclude(
      cannot(proxied(...v4, { extensions: [{ _tag: "UniqueId", id: bytes(129) }] })),
      invalid("its unique id has 129 bytes, and may have 128")
    )
    for (const type of [-1, 0x01, 0x20, 256, 1.5]) {
      assert.deepInclude(
        cannot(proxied(...v4, { extensions: [{ _tag: "Other", type, value: bytes(1) }] })),
        invalid(`${type} is no type of another extension`)
      )
    }
  })
})

describe("extensions", () => {
  const one = (...value: ReadonlyArray<number>) => binary(0x21, 0x11, [...inet, ...value])

  const tls: ProxyHeader.Tls = {
    _tag: "Tls",
    connected: true,
    certificate: true,
    sessionCertificate: false,
    verify: 0,
    version: "TLSv1.3",
    commonName: "client",
    cipher: "TLS_AES_256_GCM_SHA384",
    signatureAlgorithm: "SHA256",
    keyAlgorithm: "RSA2048",
    others: []
  }

  for (
    const [extension, bytes] of [
      [{ _tag: "Alpn", protocol: ascii("h2") }, [1, 0, 2, 0x68, 0x32]],
      [{ _tag: "Authority", name: "bücher.example" }, tlv(2, ...ascii("bücher.example"))],
      [{ _tag: "Padding", length: 2 }, [4, 0, 2, 0, 0]],
      [{ _tag: "UniqueId", id: Uint8Array.of(1, 2, 3) }, [5, 0, 3, 1, 2, 3]],
      [{ _tag: "Namespace", name: "blue" }, tlv(0x30, ...ascii("blue"))],
      [{ _tag: "Other", type: 0xea, value: ascii("x") }, [0xea, 0, 1, 0x78]],
      [
        { ...tls, commonName: undefined, cipher: undefined, signatureAlgorithm: undefined, keyAlgorithm: undefined },
        tlv(0x20, 3, 0, 0, 0, 0, ...tlv(0x21, ...ascii("TLSv1.3")))
      ]
    ] as ReadonlyArray<readonly [ProxyHeader.Extension, ReadonlyArray<number>]>
  ) {
    it(extension._tag, () => {
      const frame = proxied(...v4, { extensions: [extension] })
      assert.deepStrictEqual(encoded(codec, frame), one(...bytes))
      assert.deepStrictEqual(header(one(...bytes)), frame)
    })
  }

  it("of TLS have others in them", () => {
    const extensions = [{
      ...tls,
      verify: 0xffffffff,
      others: [{ _tag: "Other", type: 0x28, value: bytes(3) }]
    }] as const
    assert.deepStrictEqual(header(encoded(codec, proxied(...v4, { extensions }))), proxied(...v4, { extensions }))
  })

  it("cannot say what has no place in their fields", () => {
    for (
      const [extension, reason] of [
        ...[-1, 1.5, NaN, 65536, 2 ** 40].map((length) =>
          [{ _tag: "Padding", length }, `its padding has ${length} bytes, and may have 0 to 65535`] as const
        ),
        ...[-1, 0.5, NaN, 2 ** 32].map((verify) =>
          [{ ...tls, verify }, `its result of verifying, ${verify}, is no number of 32 bits`] as const
        ),
        [{ _tag: "Authority", name: "\ud800" }, "its authority is not UTF-8"],
        [{ _tag: "Namespace", name: "\udc00" }, "its namespace is not UTF-8"],
        [{ ...tls, commonName: "\ud800" }, "its commonName is not UTF-8"]
      ] as const
    ) {
      assert.deepInclude(unencodable(codec, proxied(...v4, { extensions: [extension] })), invalid(reason))
    }
  })

  it("the padding's bytes mean nothing", () => {
    assert.deepStrictEqual(header(one(4, 0, 1, 0xff)), proxied(...v4, { extensions: [{ _tag: "Padding", length: 1 }] }))
  })

  for (
    const [what, bytes, reason] of [
      [
        "a unique id of 129 bytes",
        tlv(5, ...new Array<number>(129).fill(1)),
        "its unique id has 129 bytes, and may have 128"
      ],
      ["an authority that is not UTF-8", tlv(2, 0xff), "its authority is not UTF-8"],
      ["a namespace that is not UTF-8", tlv(0x30, 0xc0), "its namespace is not UTF-8"],
      ["TLS without its five bytes", tlv(0x20, 1, 0, 0, 0), "its extension about TLS has 4 bytes, not 5"],
      ["TLS that ends too soon", tlv(0x20, 1, 0, 0, 0, 0, 0x21, 0, 9), "it ends within its extension of type 0x21"],
      ["TLS with half a head", tlv(0x20, 1, 0, 0, 0, 0, 0x21), "it ends within the type and length of an extension"],
      ["a cipher that is not UTF-8", tlv(0x20, 1, 0, 0, 0, 0, ...tlv(0x23, 0xff)), "its cipher is not UTF-8"],
      ["a checksum of 3 bytes", tlv(3, 0, 0, 0), "its checksum has 3 bytes, not 4"],
      ["a wrong checksum", tlv(3, 0, 0, 0, 0), "its checksum is wrong"]
    ] as ReadonlyArray<readonly [string, ReadonlyArray<number>, string]>
  ) {
    it(`are refused: ${what}`, () => {
      const found = failure(one(...bytes))
      assert.deepInclude(found, invalid(reason))
    })
  }
})

describe("the checksum", () => {
  it("is CRC-32C, by the vectors of RFC 3720 appendix B.4", () => {
    assert.strictEqual(crc32c(bytes(32)), 0x8a9136aa)
    assert.strictEqual(crc32c(bytes(32, 0xff)), 0x62a8ab43)
    assert.strictEqual(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e)
    assert.strictEqual(crc32c(ascii("123456789")), 0xe3069283)
  })

  const frame = proxied(...v4, { extensions: [{ _tag: "UniqueId", id: bytes(3, 3) }, { _tag: "Checksum" }] })

  it("is of the whole header, wherever it stands", () => {
    for (const extensions of [frame.extensions, frame.extensions.toReversed()]) {
      assert.deepStrictEqual(header(encoded(codec, { ...frame, extensions })), { ...frame, extensions })
    }
  })

  it("finds every bit that is wrong behind the addresses' family and length", () => {
    const wire = encoded(codec, frame)
    for (let at = 16; at < wire.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const wrong = wire.slice()
        wrong[at]! ^= 1 << bit
        const { failure, frames } = Codec.decode(codec, wrong)
        // What was a checksum may have become something else.
        if (failure === undefined) {
          assert.notInclude(frames[0]!.extensions.map(({ _tag }) => _tag), "Checksum", `bit ${bit} of ${at}`)
        }
        assert.isDefined(Codec.decode(ProxyHeader.codec({ checksum: "required" }), wrong).failure)
      }
    }
  })

  it("of an unknown client is checked, and LOCAL is accepted with a wrong one", () => {
    const wrong = tlv(3, 0, 0, 0, 0)
    for (const family of [0x00, 0x02]) {
      assert.deepInclude(failure(binary(0x21, family, wrong)), invalid("its checksum is wrong"))
    }
    assert.deepStrictEqual(header(binary(0x20, 0, wrong)), { _tag: "Local", version: 2, extensions: [] })
    assert.isDefined(Codec.decode(ProxyHeader.codec({ checksum: "required" }), binary(0x20, 0, wrong)).failure)
  })

  it("can be required", () => {
    const required = ProxyHeader.codec({ checksum: "required" })
    assert.deepStrictEqual(decoded(required, encoded(codec, frame)), { frames: [frame], failure: undefined })
    assert.deepStrictEqual(decoded(required, binary(0x21, 0x11, inet)).failure, invalid("it has no checksum"))
    assert.deepStrictEqual(decoded(required, binary(0x20, 0, [])).failure, invalid("it has no checksum"))
    assert.strictEqual(decoded(required, ascii("PROXY UNKNOWN\r\n")).failure, undefined)
  })
})

describe("the beginning", () => {
  const neither = invalid("it does not begin as one of version 1 or 2 does")

  it("tells what it is, and is refused with the first byte that cannot be right", () => {
    for (const input of ["G", "PO", "PROXX", "PROXY\t", "\r\n\r\n\r", "\r\n\r\n\0\r\nQUIT\r", "\x16\x03\x01"]) {
      const wire = ascii(input)
      assert.strictEqual(codec.step(wire.slice(0, input === "\x16\x03\x01" ? 0 : -1)).failure, undefined, input)
      assert.deepStrictEqual(failure(wire), neither, input)
      assert.deepStrictEqual(failure(joined([wire, bytes(200)])), neither, input)
    }
  })

  it("can be of one version alone", () => {
    const one = ProxyHeader.codec({ versions: [1] })
    const two = ProxyHeader.codec({ versions: [2] })
    const [line, binary] = [ascii("PROXY UNKNOWN\r\n"), encoded(codec, proxied(...v4))]
    assert.strictEqual(decoded(one, line).failure, undefined)
    assert.strictEqual(decoded(two, binary).failure, undefined)
    assert.deepStrictEqual(decoded(one, binary).failure, invalid("it does not begin as one of version 1 does"))
    assert.deepStrictEqual(decoded(two, line).failure, invalid("it does not begin as one of version 2 does"))
  })

  it("can be the end of the input only between headers", () => {
    assert.deepStrictEqual(decoded(codec), { frames: [], failure: undefined })
    const first = proxied(...v4, { version: 1 })
    for (const frame of [first, proxied(...v6, { extensions: [{ _tag: "Checksum" }] })]) {
      const wire = encoded(codec, frame)
      for (let held = 1; held < wire.length; held++) {
        assert.deepStrictEqual(decoded(codec, encoded(codec, first), wire.slice(0, held)), {
          frames: [first],
          failure: truncated(held)
        })
      }
    }
  })
})

describe("maxLength", () => {
  it("is 16384 bytes of a whole header, and refused when the header announces more", () => {
    const padded = (length: number) =>
      proxied(...v4, { extensions: [{ _tag: "Padding", length: length - 16 - 12 - 3 }] })
    assert.strictEqual(encoded(codec, padded(16384)).length, 16384)
    assert.deepStrictEqual(codec.step(encoded(codec, padded(16384))).frames, [padded(16384)])
    const tooLong = { _tag: "FrameTooLong", limit: 16384, length: 16385 }
    assert.deepInclude(unencodable(codec, padded(16385)), tooLong)
    assert.deepStrictEqual({ ...codec.step(binary(0x21, 0x11, [], 16385 - 16)).failure }, tooLong)
  })

  it("is what a header has room for, at most", () => {
    for (const maxLength of [15, 65552, NaN]) assert.throws(() => ProxyHeader.codec({ maxLength }), RangeError)
    const widest = ProxyHeader.codec({ maxLength: 65551 })
    const frame = proxied(...v4, { extensions: [{ _tag: "Padding", length: 65535 - 12 - 3 }] })
    assert.strictEqual(encoded(widest, frame).length, 65551)
  })
})

describe("make", () => {
  it("tells the addresses that the version can say", () => {
    const [source, destination] = v4
    const unix = { source: Address.unix("/a"), destination: Address.unix("/b") }
    assert.deepStrictEqual(ProxyHeader.make({ version: 2, source, destination }), proxied(...v4))
    assert.deepStrictEqual(ProxyHeader.make({ version: 2, ...unix }), proxied(unix.source, unix.destination))
    const unknown = (version: ProxyHeader.Version): ProxyHeader.Unknown => ({
      _tag: "Unknown",
      version,
      extensions: []
    })
    assert.deepStrictEqual(ProxyHeader.make({ version: 1, ...unix }), unknown(1))
    assert.deepStrictEqual(ProxyHeader.make({ version: 2, source, destination: unix.source }), unknown(2))
    assert.deepStrictEqual(ProxyHeader.make({ version: 2, source: Address.memory("a"), destination }), unknown(2))
  })
})

describe("the laws", () => {
  const port = FastCheck.nat(65535)
  const host = FastCheck.oneof(
    FastCheck.ipV4(),
    FastCheck.array(FastCheck.constantFrom("0", "1", "ffff"), { minLength: 8, maxLength: 8 }).map((p) => p.join(":"))
  )
  const tcp = FastCheck.tuple(host, port).map(([host, port]) => Address.tcp(host, port))
  const name = FastCheck.string({ maxLength: 6 })
  const unix = FastCheck.constantFrom("", "/run/x", "\0name", "./y").map((path) => Address.unix(path))
  const some = FastCheck.uint8Array({ maxLength: 6 })
  const optional = FastCheck.option(name, { nil: undefined })
  const other = FastCheck.record({
    _tag: FastCheck.constant("Other" as const),
    type: FastCheck.constantFrom(0x28, 0xea, 0xff),
    value: some
  })
  const extension: FastCheck.Arbitrary<ProxyHeader.Extension> = FastCheck.oneof(
    some.map((protocol) => ({ _tag: "Alpn" as const, protocol })),
    name.map((name) => ({ _tag: "Authority" as const, name })),
    name.map((name) => ({ _tag: "Namespace" as const, name })),
    some.map((id) => ({ _tag: "UniqueId" as const, id })),
    FastCheck.nat(5).map((length) => ({ _tag: "Padding" as const, length })),
    other,
    FastCheck.record<ProxyHeader.Tls>({
      _tag: FastCheck.constant("Tls"),
      connected: FastCheck.boolean(),
      certificate: FastCheck.boolean(),
      sessionCertificate: FastCheck.boolean(),
      verify: FastCheck.nat(0xffffffff),
      version: optional,
      commonName: optional,
      cipher: optional,
      signatureAlgorithm: optional,
      keyAlgorithm: optional,
      others: FastCheck.array(other, { maxLength: 2 })
    })
  )
  const extensions = FastCheck.tuple(FastCheck.array(extension, { maxLength: 3 }), FastCheck.boolean()).map(
    ([extensions, checked]) => checked ? [...extensions, { _tag: "Checksum" as const }] : extensions
  )
  const first = FastCheck.oneof(
    FastCheck.tuple(tcp, tcp).map((pair) => proxied(...pair, { version: 1 })),
    FastCheck.constant<ProxyHeader.Header>({ _tag: "Unknown", version: 1, extensions: [] })
  )
  const second = FastCheck.oneof<Array<FastCheck.Arbitrary<ProxyHeader.Header>>>(
    FastCheck.tuple(tcp, tcp, extensions).map(([from, to, extensions]) => proxied(from, to, { extensions })),
    FastCheck.tuple(unix, unix, extensions).map(([from, to, extensions]) => proxied(from, to, { extensions })),
    extensions.map((extensions): ProxyHeader.Header => ({ _tag: "Local", version: 2, extensions })),
    extensions.map((extensions): ProxyHeader.Header => ({ _tag: "Unknown", version: 2, extensions }))
  )
  const inputs = FastCheck.oneof(
    FastCheck.array(FastCheck.constantFrom("PROXY ", "TCP4 ", "UNKNOWN", "1.1.1.1 ", "1 ", "\r\n", "x"), {
      maxLength: 9
    })
      .map((parts) => ascii(parts.join(""))),
    FastCheck.tuple(
      FastCheck.constantFrom(0x20, 0x21, 0x22, 0x31),
      FastCheck.constantFrom(0, 0x11, 0x21, 0x31, 0x41, 0x13),
      FastCheck.uint8Array({ maxLength: 40 })
    ).map(([command, family, rest]) => binary(command, family, [...rest]))
  )
  const frames: FastCheck.Arbitrary<ProxyHeader.Header> = FastCheck.oneof(first, second)
  const laws = CodecLaws.laws<ProxyHeader.Header, ProxyHeader.Header, unknown>({
    codec,
    frames,
    inputs,
    maxHeld: 16384,
    runs: 200
  })
  for (const { name, run } of laws) it(name, run)
})
