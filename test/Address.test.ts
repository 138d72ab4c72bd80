import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as FastCheck from "effect/FastCheck"
import * as Hash from "effect/Hash"
import * as Address from "../src/Address.ts"

const octet = FastCheck.integer({ min: 0, max: 255 })
const ipv4 = FastCheck.tuple(octet, octet, octet, octet).map((octets) => octets.join("."))
// Half of the groups are zero, so that runs of every length and place come up, among them the equally long.
const group = FastCheck.oneof(FastCheck.constant(0), FastCheck.integer({ min: 0, max: 0xffff }))
const groups = FastCheck.array(group, { minLength: 8, maxLength: 8 })
const zone = FastCheck.oneof(
  FastCheck.constant(""),
  FastCheck.constantFrom("%eth0", "%br-lan", "%eth0.100", "%wlan_0", "%3", "%ETH0", "%a:b")
)
const port = FastCheck.integer({ min: 0, max: 65535 })

/** An address spelt in full, in any case, with leading zeros or without. */
const spelt = (numbers: ReadonlyArray<number>, upper: boolean, padded: boolean): string => {
  const text = numbers.map((number) => number.toString(16).padStart(padded ? 4 : 1, "0")).join(":")
  return upper ? text.toUpperCase() : text
}

/** RFC 5952 section 4 once more, in the plainest way: try every run of zero groups, the longest and leftmost wins. */
const canonical = (numbers: ReadonlyArray<number>): string => {
  const hex = numbers.map((number) => number.toString(16))
  for (let length = 8; length >= 2; length--) {
    for (let start = 0; start + length <= 8; start++) {
      if (numbers.slice(start, start + length).every((number) => number === 0)) {
        return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`
      }
    }
  }
  return hex.join(":")
}

const isMapped = (numbers: ReadonlyArray<number>): boolean =>
  numbers.slice(0, 5).every((number) => number === 0) && numbers[5] === 0xffff

describe("TcpAddress", () => {
  describe("spells a host in its one canonical way", () => {
    const table: ReadonlyArray<[section: string, given: string, expected: string]> = [
      ["RFC 5952 4.1, leading zeros", "2001:0db8::0001", "2001:db8::1"],
      ["4.2.1, as short as possible", "2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
      ["4.2.1, a group that :: can hold", "2001:db8::0:1", "2001:db8::1"],
      ["4.2.2, one group is not compressed", "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["4.2.2, at the end", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
      ["4.2.2, at the start", "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
      ["4.2.3, the longest run", "2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
      ["4.2.3, the first of equal runs", "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["4.3, lower case", "2001:DB8::ABCD:EF01", "2001:db8::abcd:ef01"],
      [
        "section 2, all spellings of one address",
        "2001:db8:aaaa:bbbb:cccc:dddd:eeee:001",
        "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"
      ],
      ["unspecified", "0:0:0:0:0:0:0:0", "::"],
      ["loopback", "0::1", "::1"],
      ["a prefix", "2001:db8:0:0:0:0:0:0", "2001:db8::"],
      ["RFC 4007, a zone", "FE80::0001%eth0", "fe80::1%eth0"],
      ["a zone keeps its case", "fe80::1%Ethernet_2.100", "fe80::1%Ethernet_2.100"],
      ["IPv4", "192.0.2.1", "192.0.2.1"],
      ["mapped, as a dual-stack socket reports it", "::ffff:192.0.2.1", "192.0.2.1"],
      ["mapped, in hexadecimal", "::ffff:c000:201", "192.0.2.1"],
      ["mapped, in full", "0:0:0:0:0:FFFF:192.0.2.1", "192.0.2.1"],
      ["mapped, with a zone", "::ffff:192.0.2.1%eth0", "192.0.2.1"],
      ["compatible is not mapped", "::192.0.2.1", "::c000:201"],
      ["NAT64 is not mapped", "64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
      ["a dotted tail after six groups", "1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201"]
    ]
    for (const [section, given, expected] of table) {
      it(`${section}: ${given}`, () => assert.strictEqual(Address.tcp(given, 1).host, expected))
    }
  })

  it.prop(
    "and it is RFC 5952 for every address and spelling",
    [groups, zone, FastCheck.boolean(), FastCheck.boolean()],
    ([
      numbers,
      zone,
      upper,
      padded
    ]) => {
      FastCheck.pre(!isMapped(numbers))
      const host = Address.tcp(spelt(numbers, upper, padded) + zone, 1).host
      assert.strictEqual(host, canonical(numbers) + zone)
      assert.strictEqual(Address.tcp(host, 1).host, host)
    }
  )

  it.prop("gives every IPv4-mapped address as IPv4", [ipv4], ([host]) => {
    const [a, b, c, d] = host.split(".").map(Number) as [number, number, number, number]
    assert.strictEqual(Address.tcp(`::ffff:${host}`, 1).host, host)
    assert.strictEqual(Address.tcp(spelt([0, 0, 0, 0, 0, 0xffff, a * 256 + b, c * 256 + d], true, true), 1).host, host)
  })

  it("is equal, and has an equal hash, by value", () => {
    const equal = [Address.tcp("2001:db8::1", 80), Address.tcp("2001:DB8:0:0:0:0:0:1", 80)] as const
    assert.isTrue(Equal.equals(...equal))
    assert.strictEqual(Hash.hash(equal[0]), Hash.hash(equal[1]))
    assert.isTrue(Equal.equals(Address.tcp("::ffff:192.0.2.1", 80), Address.tcp("192.0.2.1", 80)))
    assert.isFalse(Equal.equals(Address.tcp("::1", 80), Address.tcp("::1", 81)))
    assert.isFalse(Equal.equals(Address.tcp("::1", 80), Address.tcp("::2", 80)))
    assert.isFalse(Equal.equals(Address.tcp("fe80::1%eth0", 80), Address.tcp("fe80::1%eth1", 80)))
  })

  it("knows its family and zone", () => {
    assert.deepStrictEqual([Address.tcp("192.0.2.1", 1).family, Address.tcp("192.0.2.1", 1).zone], ["IPv4", undefined])
    assert.deepStrictEqual([Address.tcp("::1", 1).family, Address.tcp("::1", 1).zone], ["IPv6", undefined])
    assert.deepStrictEqual([Address.tcp("fe80::1%eth0", 1).family, Address.tcp("fe80::1%eth0", 1).zone], [
      "IPv6",
      "eth0"
    ])
  })

  it("has a host without its zone", () => {
    for (const host of ["fe80::1", "192.0.2.1"]) assert.strictEqual(Address.tcp(host, 1).hostWithoutZone, host)
    assert.strictEqual(Address.tcp("fe80::1%eth0", 1).hostWithoutZone, "fe80::1")
  })

  it("throws for what is no address: a bug in the caller", () => {
    const host = "The host of a TcpAddress must be an IPv4 or IPv6 address, but is \"localhost\"; " +
      "a name has to be resolved first, as Connector does"
    assert.throws(() => Address.tcp("localhost", 80), RangeError, host)
    for (const port of [-1, 65536, 1.5, NaN, Infinity]) {
      const message = `The port of a TcpAddress must be an integer from 0 to 65535, but is ${port}`
      assert.throws(() => Address.tcp("127.0.0.1", port), RangeError, message)
    }
    for (const port of [0, 65535]) assert.strictEqual(Address.tcp("127.0.0.1", port).port, port)
  })

  it("is unspecified for a socket that cannot say", () => {
    assert.isTrue(Equal.equals(Address.unspecified("IPv4"), Address.tcp("0.0.0.0", 0)))
    assert.isTrue(Equal.equals(Address.unspecified("IPv6"), Address.tcp("::", 0)))
  })
})

describe("isLiteral", () => {
  const literals = [
    "0.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1%eth0",
    "::ffff:1.2.3.4",
    "1:2:3:4:5:6:7:8",
    "A::"
  ]
  const others: Readonly<Record<string, ReadonlyArray<string>>> = {
    "a name": ["", " ", "localhost", "example.com", "%eth0", ":"],
    "inet_aton(3)'s own form": ["127.1", "1.2.3", "2130706433", "01.2.3.4", "1.2.3.04", "0x7f.0.0.1"],
    "bad IPv4": ["1.2.3.256", "1.2.3.-4", "1.2.3.4.5", "1.2.3.4.", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "１.2.3.4"],
    "IPv4 with a zone": ["1.2.3.4%eth0"],
    "with a port, brackets or a prefix length": ["1.2.3.4:80", "[::1]", "::1/64"],
    "bad IPv6": ["::1:", ":::", "1::2::3", "::1 ", "12345::", "::00001", "g::", "::ffff:"],
    "IPv6 of a wrong length": ["1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "0:".repeat(100_000)],
    "a bad dotted tail": ["1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "::1.2.3", "::01.2.3.4", "::ffff:0x1.2.3.4"],
    "a bad zone": ["fe80::1%", "fe80::1%a%b", "fe80::1%a]", "fe80::1%a b", "fe80::1%a\0", "fe80::1%a/b"]
  }
  for (const host of literals) it(`is true of ${host}`, () => assert.isTrue(Address.isLiteral(host)))
  for (const [reason, hosts] of Object.entries(others)) {
    for (const host of hosts) {
      it(`is false of ${reason}: ${JSON.stringify(host.slice(0, 40))}`, () => assert.isFalse(Address.isLiteral(host)))
    }
  }

  it.prop("never throws, and is what the constructor accepts", [
    FastCheck.oneof(FastCheck.string(), FastCheck.string({ unit: FastCheck.constantFrom(..."0123456789abf:.%") }))
  ], ([host]) => {
    if (Address.isLiteral(host)) Address.tcp(host, 0)
    else assert.throws(() => Address.tcp(host, 0), RangeError)
  })
})

describe("UnixAddress", () => {
  it("keeps a path as it is, and makes a relative one visibly a path", () => {
    for (const path of ["", "\0name", "\0", "/run/x.sock", "./x", "../x", "/a b:c", "\\\\.\\pipe\\x"]) {
      assert.strictEqual(Address.unix(path).path, path)
    }
    assert.strictEqual(Address.unix("x.sock").path, "./x.sock")
    assert.strictEqual(Address.unix("@x").path, "./@x")
    assert.strictEqual(Address.unix(".hidden").path, "./.hidden")
    assert.strictEqual(Address.unix("...").path, "./...")
  })

  it("is abstract, unnamed or neither", () => {
    const flags = (path: string) => [Address.unix(path).isAbstract, Address.unix(path).isUnnamed]
    assert.deepStrictEqual(flags("\0name"), [true, false])
    assert.deepStrictEqual(flags(""), [false, true])
    assert.deepStrictEqual(flags("/run/x.sock"), [false, false])
    assert.deepStrictEqual(flags("@name"), [false, false])
  })

  it("is equal by value, and to no address of another kind", () => {
    assert.isTrue(Equal.equals(Address.unix("x"), Address.unix("./x")))
    assert.strictEqual(Hash.hash(Address.unix("x")), Hash.hash(Address.unix("./x")))
    assert.isFalse(Equal.equals(Address.unix("\0x"), Address.unix("x")))
    assert.isTrue(Equal.equals(Address.pipe("x"), Address.pipe("x")))
    assert.isTrue(Equal.equals(Address.memory("x"), Address.memory("x")))
    assert.isFalse(Equal.equals<Address.Address, Address.Address>(Address.memory("x"), Address.pipe("x")))
  })
})

describe("isAddress", () => {
  it("is true of addresses, and of nothing that only looks like one", () => {
    for (const address of [Address.tcp("::1", 1), Address.unix("x"), Address.pipe("x"), Address.memory("x")]) {
      assert.isTrue(Address.isAddress(address))
    }
    for (const value of [undefined, null, "127.0.0.1:1", { _tag: "TcpAddress", host: "::1", port: 1 }]) {
      assert.isFalse(Address.isAddress(value))
    }
  })
})

describe("format", () => {
  const table: ReadonlyArray<[Address.Address, string]> = [
    [Address.tcp("127.0.0.1", 5000), "127.0.0.1:5000"],
    [Address.tcp("::1", 5000), "[::1]:5000"],
    [Address.tcp("fe80::1%eth0", 5000), "[fe80::1%eth0]:5000"],
    [Address.unix("/run/x.sock"), "/run/x.sock"],
    [Address.unix("x.sock"), "./x.sock"],
    [Address.unix("\0name"), "@name"],
    [Address.unix(""), "(unnamed)"],
    [Address.pipe("stdio"), "stdio"],
    [Address.memory("client"), "client"]
  ]
  for (const [address, text] of table) {
    it(`${address._tag}: ${text}`, () => {
      assert.strictEqual(Address.format(address), text)
      assert.strictEqual(`${address}`, text)
    })
  }
})

describe("parse", () => {
  const addresses = FastCheck.oneof(
    FastCheck.tuple(ipv4, port).map(([host, port]): Address.Address => Address.tcp(host, port)),
    FastCheck.tuple(groups, zone, port).map(([numbers, zone, port]) =>
      Address.tcp(spelt(numbers, false, false) + zone, port)
    ),
    FastCheck.string({ unit: "binary" }).map(Address.unix),
    FastCheck.string({ unit: FastCheck.constantFrom("\0", "@", "/", ".", ":", "[", "]", "(unnamed)", "\\") }).map(
      Address.unix
    )
  )

  it.prop("reads back what format writes", [addresses], ([address]) => {
    const parsed = Either.getOrThrow(Address.parse(Address.format(address)))
    assert.isTrue(Equal.equals(parsed, address), `${parsed} is not ${address}`)
  }, { fastCheck: { numRuns: 1000 } })

  it.prop("writes what it reads, for canonical text", [FastCheck.string({ unit: "grapheme" })], ([text]) => {
    const parsed = Address.parse(text)
    if (Either.isRight(parsed)) assert.strictEqual(Address.format(parsed.right), text)
  })

  it("takes any spelling of an IP address", () => {
    assert.strictEqual(`${Either.getOrThrow(Address.parse("[2001:DB8:0::1]:80"))}`, "[2001:db8::1]:80")
    assert.strictEqual(`${Either.getOrThrow(Address.parse("[::ffff:192.0.2.1]:80"))}`, "192.0.2.1:80")
  })

  const shape =
    "an IP address with a port, a path or an abstract name, as in 127.0.0.1:5000, [::1]:5000, /run/x.sock or @x"
  const host = "a numeric IP address before the port, as in 127.0.0.1:5000 or [::1]:5000"
  const lacksPort = "a port after the address, as in 127.0.0.1:5000 or [::1]:5000"
  const brackets = "brackets around an IPv6 address and around nothing else, as in [::1]:5000 or 127.0.0.1:5000"
  const portRange = "a port from 0 to 65535 after the last colon, as in 127.0.0.1:5000"
  const errors: ReadonlyArray<[text: string, expected: string]> = [
    ["", shape],
    ["x.sock", shape],
    ["\0x", shape],
    ["localhost", shape],
    ["[localhost]", shape],
    ["localhost:80", host],
    [":80", host],
    ["127.1:80", host],
    ["[::1:80", host],
    ["::1]:80", host],
    ["[]:80", host],
    ["127.0.0.1", lacksPort],
    ["::1", lacksPort],
    ["[::1]", lacksPort],
    ["fe80::1%eth0", lacksPort],
    ["::1:5000", lacksPort],
    ["1:2:3:4:5:6:7:8:80", brackets],
    ["[127.0.0.1]:80", brackets],
    ["127.0.0.1:", portRange],
    ["127.0.0.1:http", portRange],
    ["127.0.0.1:65536", portRange],
    ["127.0.0.1:080", portRange],
    ["127.0.0.1:+80", portRange],
    ["127.0.0.1:-1", portRange],
    ["[::1]:80 ", portRange]
  ]
  for (const [text, expected] of errors) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      const error = Either.getOrThrow(Either.flip(Address.parse(text)))
      assert.deepStrictEqual([error._tag, error.text, error.expected], ["AddressInvalid", text, expected])
      assert.strictEqual(error.message, `Cannot read ${JSON.stringify(text)} as an address: expected ${expected}.`)
    })
  }
})
