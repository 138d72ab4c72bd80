import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Address from "../../src/Address.ts"
import * as Network from "../../src/Network.ts"
import * as Rule from "../../src/testing/Rule.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type { Fate, SegmentEvent, TraceEvent } from "../../src/testing/Trace.ts"
import * as Trace from "../../src/testing/Trace.ts"
import { ascii, bytes } from "../support/bytes.ts"
import { readCapture } from "../support/capture.ts"
import { answer, segment } from "../support/traces.ts"

const syn = (fields: Partial<SegmentEvent> = {}) => segment({ syn: true, sequence: 100, ...fields })
const data = (text: string, fields: Partial<SegmentEvent> = {}) =>
  segment({ ack: true, sequence: 101, acknowledgement: 501, payload: ascii(text), ...fields })

/** What is said of each segment, without what stands on its left. */
const labels = (trace: ReadonlyArray<TraceEvent>, options: Trace.FormatOptions = {}) =>
  Trace.format(trace, { width: 1000, ...options }).split("\n").flatMap((line) => / {3}(#\d.*)$/.exec(line)?.[1] ?? [])

/** Only the rows, from the first arrow on. */
const rows = (trace: ReadonlyArray<TraceEvent>, options?: Trace.FormatOptions) =>
  Trace.format(trace, options).split("\n").filter((line) => /^ *\d+\.\d{3} /.test(line))

const fates: ReadonlyArray<Fate> = [
  "delivered",
  "lost",
  "refused",
  "forged",
  "copied",
  "unreachable",
  "no such host"
]

const hosts = ["a", "b", "c"]
const host = FastCheck.constantFrom(...hosts)
const addressOf = (name: string, port: number) => Address.tcp(`10.0.0.${1 + hosts.indexOf(name)}`, port)

const segments: FastCheck.Arbitrary<SegmentEvent> = FastCheck.record({
  from: host,
  to: host,
  fate: FastCheck.constantFrom(...fates),
  wait: FastCheck.nat(3),
  latency: FastCheck.nat(5),
  flags: FastCheck.subarray(["syn", "ack", "fin", "rst"] as const),
  sequence: FastCheck.nat(20).map((number) => 2 ** 32 - 10 + number),
  acknowledgement: FastCheck.nat(20),
  window: FastCheck.nat(200_000),
  payload: FastCheck.uint8Array({ maxLength: 5 })
}).map(({ fate, flags, from, latency, to, wait, ...fields }) =>
  segment({
    ...fields,
    ...Object.fromEntries(flags.map((flag) => [flag, true])),
    at: wait,
    arrives: fate === "delivered" || fate === "forged" || fate === "copied" ? wait + latency : undefined,
    fate,
    from,
    to,
    source: addressOf(from, from < to ? 1024 : 80),
    destination: addressOf(to, from < to ? 80 : 1024)
  })
)

const others: FastCheck.Arbitrary<TraceEvent> = FastCheck.oneof(
  FastCheck.record({ _tag: FastCheck.constantFrom("Crash" as const, "Restart" as const), at: FastCheck.nat(3), host }),
  FastCheck.record({
    _tag: FastCheck.constant("LookUp" as const),
    at: FastCheck.nat(3),
    arrives: FastCheck.constant(1000),
    name: FastCheck.string({ unit: "binary" }),
    host,
    answer: FastCheck.string({ unit: "binary" })
  })
)

/** Of any events, each some time after the one before. */
const traces: FastCheck.Arbitrary<ReadonlyArray<TraceEvent>> = FastCheck.array(
  FastCheck.oneof({ weight: 4, arbitrary: segments }, { weight: 1, arbitrary: others })
).map((events) => {
  let now = 0
  return events.map((event) => {
    now += event.at
    const arrives = "arrives" in event && event.arrives !== undefined ? event.arrives + now - event.at : undefined
    return { ...event, at: now, ...("arrives" in event ? { arrives } : {}) } as TraceEvent
  })
})

/** The client says hello, which is lost at first, and the server echoes it until the client ends. */
const conversation = Effect.scoped(Effect.gen(function*() {
  const sim = yield* SimNetwork.SimNetwork
  const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
  const client = yield* SimNetwork.on(Network.connect(listener.address), "client")
  const server = yield* listener.accept
  yield* client.write(ascii("hello\n"))
  yield* server.write((yield* server.pull)!)
  yield* client.pull
  yield* client.closeWrite
  yield* server.pull
  yield* server.closeWrite
  yield* client.closed
  yield* Effect.sleep("1 seconds")
  return sim.trace()
}))

const simulated = () => {
  let hellos = 0
  return SimNetwork.run(conversation, {
    hosts: ["server", "client"],
    latency: "10 millis",
    rules: [Rule.drop({ matching: ({ kind }) => kind === "DATA" && ++hellos === 1 })]
  })
}

describe("format", () => {
  it.live("is a diagram of what happened", () =>
    Effect.map(simulated(), (trace) => {
      assert.strictEqual(
        `\n${Trace.format(trace)}`,
        String.raw`
#1 client 10.0.0.2:32768 → server 10.0.0.1:80

sent (ms)  arrives   client      server
    0.000   10.000   ├──────────▶│   #1 SYN seq 0 win 65536
   10.000   20.000   │◀──────────┤   #1 SYN+ACK seq 0 ack 1 win 65536
   20.000   30.000   ├──────────▶│   #1 ACK seq 1 ack 1
   30.000     lost   ├─────✗     │   #1 DATA seq 1 len 6 ack 1 "hello\n"
  250.000  260.000   ├──────────▶│   #1 DATA seq 1 len 6 ack 1 again "hello\n"
  260.000  270.000   │◀──────────┤   #1 ACK seq 1 ack 7
  260.000  270.000   │◀──────────┤   #1 DATA seq 1 len 6 ack 7 "hello\n"
  270.000  280.000   ├──────────▶│   #1 ACK seq 7 ack 7
  270.000  280.000   ├──────────▶│   #1 FIN seq 7 ack 7
  280.000  290.000   │◀──────────┤   #1 ACK seq 7 ack 8
  280.000  290.000   │◀──────────┤   #1 FIN seq 7 ack 8
  290.000  300.000   ├──────────▶│   #1 ACK seq 8 ack 8`
      )
    }))

  it.live("is the same text for the same run", () =>
    Effect.map(Effect.all([simulated(), simulated()]), ([first, second]) => {
      assert.notStrictEqual(first, second)
      assert.strictEqual(Trace.format(first), Trace.format(second))
    }))

  it("shows of every segment what became of it", () => {
    const trace = fates.map((fate, at) =>
      syn({ at, fate, arrives: ["delivered", "forged", "copied"].includes(fate) ? at + 1 : undefined })
    )
    assert.deepStrictEqual(rows(trace), [
      "    0.000         1.000   ├──────────▶│   #1 SYN seq 0 win 65535",
      "    1.000          lost   ├─────✗     │   #1 SYN seq 0 again",
      "    2.000       refused   ├─────✗     │   #1 SYN seq 0 again",
      "    3.000         4.000   ├╌╌╌╌╌╌╌╌╌╌▶│   #1 SYN seq 0 forged",
      "    4.000         5.000   ├╌╌╌╌╌╌╌╌╌╌▶│   #1 SYN seq 0 copied",
      "    5.000   unreachable   ├─────✗     │   #1 SYN seq 0 again",
      "    6.000  no such host   ├─────✗     │   #1 SYN seq 0 again"
    ])
  })

  it("dots a host that is down, where nothing arrives, from its crash to its restart", () => {
    const trace: ReadonlyArray<TraceEvent> = [
      syn({ at: 0, arrives: 2 }),
      syn({ at: 0, arrives: 1 }),
      { _tag: "Crash", at: 1, host: "server" },
      syn({ at: 2, fate: "lost", arrives: undefined }),
      syn({ at: 2.5, arrives: 3 }),
      { _tag: "Restart", at: 3, host: "server" }
    ]
    assert.deepStrictEqual(rows(trace), [
      "    0.000    2.000   ├──────────✗│   #1 SYN seq 0 win 65535 (server is down)",
      "    0.000    1.000   ├──────────✗│   #1 SYN seq 0 again (server is down)",
      "    1.000            │           ✗   server crashes",
      "    2.000     lost   ├─────✗     ┊   #1 SYN seq 0 again",
      "    2.500    3.000   ├──────────▶┊   #1 SYN seq 0 again",
      "    3.000            │           ●   server restarts"
    ])
  })

  it("knows of a crash before the trace by the restart", () => {
    const trace: ReadonlyArray<TraceEvent> = [syn(), { _tag: "Restart", at: 2, host: "server" }, syn({ at: 3 })]
    assert.match(rows(trace)[0]!, /─✗┊ .* \(server is down\)$/)
    assert.match(rows(trace)[2]!, /─▶│ .* again$/)
    assert.include(Trace.toSvg(trace), `class="off"`)
  })

  it("draws what passes other hosts, and breaks it off beside the one that it was for", () => {
    const to = { arrives: undefined, fate: "lost" } as const
    const trace = [
      syn({ from: "a", to: "b" }),
      syn({ from: "b", to: "c" }),
      syn({ from: "a", to: "c", ...to }),
      syn({ from: "c", to: "a", ...to }),
      syn({ from: "c", to: "a" })
    ]
    assert.deepStrictEqual(rows(trace).map((row) => row.slice(21, 46)), [
      "├──────────▶│           │",
      "│           ├──────────▶│",
      "├───────────┼─────✗     │",
      "│     ✗─────┼───────────┤",
      "│◀──────────┼───────────┤"
    ])
  })

  it("draws what a host sends to itself beside it, and tells the ends by their ports", () => {
    const ends = { to: "client", source: Address.tcp("127.0.0.1", 1024), destination: Address.tcp("127.0.0.1", 80) }
    const trace = [syn({ ...ends, arrives: 0 }), syn({ ...ends, at: 1, arrives: undefined, fate: "lost" })]
    assert.deepStrictEqual(rows(trace), [
      "    0.000            ├◀  #1 :1024→:80 SYN seq 0 win 65535",
      "    1.000     lost   ├✗  #1 :1024→:80 SYN seq 0 again"
    ])
  })

  it("shows look-ups, at the host that asks", () => {
    const answer = "10.0.0.3 fd00::3"
    assert.deepStrictEqual(rows([{ _tag: "LookUp", at: 0, arrives: 5, host: "client", name: "db", answer }]), [
      "    0.000    5.000   ?   look-up of db: 10.0.0.3 fd00::3"
    ])
  })

  it("names every kind of segment", () => {
    const one = { ack: true, sequence: 101, acknowledgement: 501 } as const
    assert.deepStrictEqual(
      labels([
        syn(),
        answer({ syn: true, sequence: 500, acknowledgement: 101 }),
        segment(one),
        segment({ ...one, fin: true, payload: ascii("bye") }),
        answer({ sequence: 501, acknowledgement: 105, fin: true }),
        answer({ sequence: 502, acknowledgement: 105, rst: true, window: 0 })
      ]),
      [
        "#1 SYN seq 0 win 65535",
        "#1 SYN+ACK seq 0 ack 1 win 65535",
        "#1 ACK seq 1 ack 1",
        `#1 DATA+FIN seq 1 len 3 ack 1 "bye"`,
        "#1 FIN seq 1 ack 5",
        "#1 RST seq 2 ack 5"
      ]
    )
  })

  it("says the window when it is another one", () => {
    const windows = [10, 10, 0, 0, 10].map((window) => segment({ ack: true, sequence: 101, window }))
    const forged = segment({ ack: true, window: 99, fate: "forged" })
    assert.deepStrictEqual(labels([...windows, forged]).map((label) => /win \d+/.exec(label)?.[0]), [
      "win 10",
      undefined,
      "win 0",
      undefined,
      "win 10",
      undefined
    ])
  })

  it("says what was sent again", () => {
    const trace = [
      syn(),
      data("abc"),
      data("abc", { fate: "copied" }),
      data("", { fate: "forged", sequence: 105, fin: true }),
      data("abc"),
      data("bcd", { sequence: 102 }),
      data("e", { sequence: 105 }),
      // An acknowledgement, and a probe: they have no number of their own.
      data("", { sequence: 106 }),
      data("", { sequence: 105 })
    ]
    assert.deepStrictEqual(labels(trace).map((label) => label.includes("again")), [
      ...[false, false, false, false],
      ...[true, true],
      ...[false, false, false]
    ])
  })

  describe("numbers connections", () => {
    it("as they were attempted, also of the same ports", () => {
      const later = { source: Address.tcp("10.0.0.2", 1025) }
      const trace = [syn(), syn(later), syn(), syn({ sequence: 900 }), segment({ ack: true, sequence: 901 })]
      assert.deepStrictEqual(labels(trace).map((label) => label.slice(0, 14)), [
        "#1 SYN seq 0 w",
        "#2 SYN seq 0 w",
        "#1 SYN seq 0 a",
        "#3 SYN seq 0 w",
        "#3 ACK seq 1 a"
      ])
    })

    it("apart on the loopbacks of two hosts", () => {
      const ends = { source: Address.tcp("127.0.0.1", 1024), destination: Address.tcp("127.0.0.1", 80) }
      const trace = [syn({ from: "a", to: "a", ...ends }), syn({ from: "b", to: "b", ...ends })]
      assert.deepStrictEqual(Trace.format(trace).split("\n").slice(0, 2), [
        "#1 a 127.0.0.1:1024 → a 127.0.0.1:80",
        "#2 b 127.0.0.1:1024 → b 127.0.0.1:80"
      ])
    })

    it.live("as rules do", () => {
      const seen: Array<string> = []
      const program = Effect.scoped(Effect.gen(function*() {
        const sim = yield* SimNetwork.SimNetwork
        yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
        const attempt = (host: string, port: number) =>
          SimNetwork.on(Effect.scoped(Network.connect(sim.addressOf("server", port))), host)
        yield* Effect.all([attempt("a", 80), attempt("b", 80), Effect.flip(attempt("a", 81)), attempt("a", 80)], {
          concurrency: "unbounded"
        })
        yield* Effect.sleep("5 seconds")
        return { seen: [...seen], shown: labels(sim.trace()).map((label) => label.split(" ")[0]) }
      }))
      const rules = [
        Rule.pass({ matching: ({ connection }) => seen.push(`#${connection}`) === 0 }),
        Rule.drop({ rate: 0.2 })
      ]
      return Effect.map(SimNetwork.run(program, { hosts: ["server", "a", "b"], rules }), ({ seen, shown }) => {
        assert.deepStrictEqual(shown, seen)
        assert.include(shown, "#4")
      })
    })

    it("from the first that is there, of one that has begun before the trace", () => {
      const trace = [
        answer({ sequence: 700, acknowledgement: 300 }),
        data("x", { sequence: 300, acknowledgement: 700 })
      ]
      assert.deepStrictEqual(labels(trace), ["#1 ACK seq 1 ack 1 win 65535", `#1 DATA seq 1 len 1 ack 1 win 65535 "x"`])
    })

    it("by who has asked, if the request is not there", () => {
      assert.match(Trace.format([answer({ syn: true })]), /^#1 client .* → server /)
    })
  })

  describe("previews", () => {
    const previewed = (payload: Uint8Array, width = 1000) =>
      labels([segment({ ack: true, payload })], { width })[0]!.replace(/^.*?win \d+ ?/, "")

    const table: ReadonlyArray<readonly [payload: Uint8Array | string, shown: string]> = [
      ["", ""],
      ["GET / HTTP/1.1\r\n", String.raw`"GET / HTTP/1.1\r\n"`],
      [`say "\\" \t`, String.raw`"say \"\\\" \t"`],
      ["grüße 中 🙂", `"grüße 中 🙂"`],
      ["a\u202eb\x7f\x1b[31m", String.raw`"a\u{202e}b\x7f\x1b[31m"`],
      // Text, and then the first byte of a character.
      [Uint8Array.of(0x61, 0x62, 0xc3), `"ab"`],
      // The rest of one.
      [Uint8Array.of(0xbc, 0x61, 0x62), String.raw`"\xbcab"`],
      [Uint8Array.of(0, 1, 2, 0xff), "<00 01 02 ff>"],
      [Uint8Array.of(0, 5, 0x68, 0x65, 0x6c, 0x6c, 0x6f), String.raw`"\x00\x05hello"`]
    ]
    for (const [payload, shown] of table) {
      it(`show ${shown}`, () => {
        assert.strictEqual(previewed(typeof payload === "string" ? ascii(payload) : payload), shown)
      })
    }

    it.prop(
      "never break the line, and never go beyond its width",
      [FastCheck.uint8Array({ maxLength: 300 }), FastCheck.integer({ min: 70, max: 200 })],
      ([payload, width]) => {
        const lines = Trace.format([segment({ ack: true, payload })], { width }).split("\n")
        assert.strictEqual(lines.length, 4)
        assert.isAtMost([...lines[3]!].length, width)
      }
    )

    it("count columns: two for a wide character, none for one that combines", () => {
      for (
        const [character, columns] of [["a", 1], ["ü", 1], ["u\u0308", 1], ["中", 2], ["한", 2], ["ア", 2], [
          "🙂",
          2
        ]] as const
      ) {
        const text = character.repeat(50)
        for (let width = 100; width < 200; width++) {
          const line = Trace.format([segment({ ack: true, payload: ascii(text) })], { width }).split("\n")[3]!
          const shown = line.split(character).length - 1
          const used = line.length + shown * (columns - character.length)
          assert.isAtMost(used, width)
          // One more would not have had room.
          if (shown < 50) assert.isAbove(used + columns, width)
        }
      }
    })

    it("end with … if there is more", () => {
      assert.match(previewed(bytes(100, 0x61), 100), /^"a+…$/)
      assert.match(previewed(bytes(100), 100), /^<00( 00)+…$/)
    })
  })

  describe("shows", () => {
    const trace: ReadonlyArray<TraceEvent> = [
      { _tag: "LookUp", at: 10, arrives: 10, host: "a", name: "b", answer: "" },
      syn({ at: 10, from: "a", to: "b" }),
      segment({ at: 11, from: "b", to: "a", syn: true, ack: true, sequence: 500, acknowledgement: 101 }),
      segment({ at: 12, from: "a", to: "b", ack: true, sequence: 101, acknowledgement: 501 }),
      syn({ at: 13, from: "a", to: "c", source: Address.tcp("10.0.0.9", 5) }),
      { _tag: "Crash", at: 14, host: "b" },
      { _tag: "Crash", at: 15, host: "d" }
    ]
    const header = (options: Trace.FormatOptions) => /arrives +(.*)/.exec(Trace.format(trace, options))![1]

    it("only the connections that are asked for, and the power of their hosts", () => {
      assert.deepStrictEqual(rows(trace, { connections: [1] }).map((row) => row.slice(35)), [
        "  #1 SYN seq 0 win 65535",
        "  #1 SYN+ACK seq 0 ack 1 win 65535",
        "  #1 ACK seq 1 ack 1",
        "  b crashes"
      ])
      assert.strictEqual(header({ connections: [2] }), "a           c")
      assert.deepStrictEqual(rows(trace, { connections: [] }), [])
    })

    it("no mere acknowledgements if they are not wanted", () => {
      const all = rows(trace)
      assert.deepStrictEqual(
        rows(trace, { acknowledgements: false }),
        all.filter((row) => !row.includes(" ACK seq 1 ack 1"))
      )
    })

    it("times from the first event on, if asked to", () => {
      const times = (options: Trace.FormatOptions) => rows(trace, options).map((row) => row.slice(0, 18))
      assert.deepStrictEqual(times({ relative: true }).slice(1, 3), ["    0.000    1.000", "    1.000    2.000"])
      assert.deepStrictEqual(times({}).slice(1, 3), ["   10.000   11.000", "   11.000   12.000"])
    })

    it("hosts in the order that is asked for, and then as they appear", () => {
      assert.strictEqual(header({}), "a           b           c           d")
      assert.strictEqual(header({ hosts: ["c", "x", "b"] }), "c           b           a           d")
    })
  })

  it("gives twelve hosts a line each, and cuts what does not fit", () => {
    const names = Array.from({ length: 12 }, (_, index) => `replica-${index + 1}`)
    const trace = names.map((from, index) => data("hello, hello", { from, to: names[(index + 5) % 12]! }))
    const text = Trace.format(trace, { hosts: names })
    for (const line of text.split("\n")) assert.isAtMost(line.length, 120)
    assert.strictEqual(
      text.slice(text.indexOf("\n\n") + 1),
      `
                     replica-1
                     │   replica-2
                     │   │   replica-3
                     │   │   │   replica-4
                     │   │   │   │   replica-5
                     │   │   │   │   │   replica-6
                     │   │   │   │   │   │   replica-7
                     │   │   │   │   │   │   │   replica-8
                     │   │   │   │   │   │   │   │   replica-9
                     │   │   │   │   │   │   │   │   │   replica-10
                     │   │   │   │   │   │   │   │   │   │   replica-11
sent (ms)  arrives   │   │   │   │   │   │   │   │   │   │   │   replica-12
    0.000    1.000   ├───┼───┼───┼───┼──▶│   │   │   │   │   │   │   #1 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   ├───┼───┼───┼───┼──▶│   │   │   │   │   │   #2 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   │   ├───┼───┼───┼───┼──▶│   │   │   │   │   #3 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   │   │   ├───┼───┼───┼───┼──▶│   │   │   │   #4 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   │   │   │   ├───┼───┼───┼───┼──▶│   │   │   #5 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   │   │   │   │   ├───┼───┼───┼───┼──▶│   │   #6 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   │   │   │   │   │   ├───┼───┼───┼───┼──▶│   #7 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │◀──┼───┼───┼───┼───┼───┼───┤   │   │   │   │   #8 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   │◀──┼───┼───┼───┼───┼───┼───┤   │   │   │   #9 DATA seq 1 len 12 ack 1 win 65535 "hello, hello"
    0.000    1.000   │   │   │◀──┼───┼───┼───┼───┼───┼───┤   │   │   #10 DATA seq 1 len 12 ack 1 win 65535 "hello, hell…
    0.000    1.000   │   │   │   │◀──┼───┼───┼───┼───┼───┼───┤   │   #11 DATA seq 1 len 12 ack 1 win 65535 "hello, hell…
    0.000    1.000   │   │   │   │   │◀──┼───┼───┼───┼───┼───┼───┤   #12 DATA seq 1 len 12 ack 1 win 65535 "hello, hell…`
    )
  })

  it.prop("has a row for each event, and no line is broken by what it shows", [traces], ([trace]) => {
    const text = Trace.format(trace, { width: 200 })
    const shown = Trace.format(trace, { width: 200, connections: [] })
    assert.strictEqual(rows(trace, { width: 200 }).length, trace.length)
    assert.isAtMost(shown.length, text.length)
    for (const line of text.split("\n")) assert.notMatch(line, /[\p{C}\p{Zl}\p{Zp}]|\s$/u)
  })
})

/** The attributes of all elements of a name. */
const elements = (svg: string, name: string): ReadonlyArray<Readonly<Record<string, string>>> =>
  [...svg.matchAll(new RegExp(`<${name} ([^>]*?)/?>`, "g"))].map(([, attributes]) =>
    Object.fromEntries([...attributes!.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key, value]) => [key, value]))
  )

/** Arrows, not the lines of hosts. */
const arrows = (svg: string) =>
  elements(svg, "line").filter(({ stroke }) => stroke !== undefined).map(({ x1, x2, y1, y2 }) => ({
    x1: Number(x1),
    x2: Number(x2),
    y1: Number(y1),
    y2: Number(y2)
  }))

const texts = (svg: string) => [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!)

const crosses = (svg: string) => elements(svg, "path").filter(({ class: name }) => name === "cross").length

/** Nothing but elements that are closed in their order, with attributes in quotes, and text without raw marks. */
const assertWellFormed = (xml: string) => {
  const open: Array<string> = []
  const rest = xml.replace(/<(\/?)(\w+)((?: [\w:-]+="[^"<]*")*) ?(\/?)>/g, (_, end, name, __, empty) => {
    if (end === "/") assert.strictEqual(open.pop(), name)
    else if (empty === "") open.push(name)
    return ""
  })
  assert.deepStrictEqual(open, [])
  assert.notMatch(rest.replaceAll(/&#\d+;/g, ""), /[<>&\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/)
}

describe("toSvg", () => {
  it.live("draws an arrow for each segment, from when it was sent down to when it arrives", () =>
    Effect.map(simulated(), (trace) => {
      const svg = Trace.toSvg(trace)
      assertWellFormed(svg)
      const drawn = arrows(svg)
      assert.strictEqual(drawn.length, trace.length)
      for (const { y1, y2 } of drawn) assert.isBelow(y1, y2)
      assert.strictEqual(crosses(svg), 1)
      assert.strictEqual(svg, Trace.toSvg(trace))
      assert.includeMembers([...texts(svg)], ["client", "server", "250.000", "260.000", "lost"])
      assert.include(texts(svg).join(), "#1 DATA seq 1 len 6 ack 1 again &#34;hello\\n&#34;")
    }))

  it.live("does not cross what answers with what it answers", () =>
    Effect.map(simulated(), (trace) => {
      const drawn = arrows(Trace.toSvg(trace))
      assert.isAtMost(drawn[0]!.y2, drawn[1]!.y1)
      assert.isAtMost(drawn[1]!.y2, drawn[2]!.y1)
    }))

  it("breaks off what does not arrive, beside the host that it was for", () => {
    const lost = { arrives: undefined, fate: "lost" } as const
    const svg = Trace.toSvg([syn({ from: "a", to: "b" }), syn({ from: "a", to: "c", ...lost })])
    const [received, broken] = arrows(svg)
    const gap = received!.x2 - received!.x1
    assert.closeTo(broken!.x2 - broken!.x1, 1.5 * gap, 0.1)
    assert.strictEqual(crosses(svg), 1)
  })

  it("marks crashes and restarts, and ends there what does not arrive for that", () => {
    const svg = Trace.toSvg([
      syn({ arrives: 2 }),
      { _tag: "Crash", at: 1, host: "server" },
      { _tag: "Restart", at: 3, host: "server" }
    ])
    assert.strictEqual(crosses(svg), 2)
    assert.deepStrictEqual(
      elements(svg, "line").flatMap(({ class: name, stroke }) => stroke === undefined ? [name] : []),
      ["line", "line", "off", "line"]
    )
  })

  it("draws what a host sends to itself as a loop, and what the network has made with dashes", () => {
    const svg = Trace.toSvg([syn({ to: "client" }), syn({ fate: "copied" }), syn({ to: "client", fate: "lost" })])
    assertWellFormed(svg)
    assert.strictEqual(arrows(svg).length, 1)
    assert.strictEqual(elements(svg, "line").filter(({ class: name }) => name === "made").length, 1)
  })

  it("escapes what has a meaning in XML, and has no character that must not be there", () => {
    const svg = Trace.toSvg([
      syn({ from: `<a href="x">&`, to: "\0\ud800\uffff", payload: Uint8Array.of(0x3c, 0x26, 0xef, 0xbf, 0xbf) }),
      { _tag: "LookUp", at: 1, arrives: 1, host: "client", name: "</svg>", answer: "]]>" }
    ])
    assertWellFormed(svg)
    assert.include(svg, "&#60;a href=&#34;x&#34;&#62;&#38;")
  })

  it("shows what is asked for", () => {
    const trace = [syn(), segment({ ack: true, sequence: 101 }), syn({ sequence: 900 })]
    assert.strictEqual(arrows(Trace.toSvg(trace, { acknowledgements: false })).length, 2)
    assert.strictEqual(arrows(Trace.toSvg(trace, { connections: [2] })).length, 1)
    assert.include(texts(Trace.toSvg(trace, { hosts: ["server"] })).join(), "server,client")
  })

  it.prop("is a document in which what is later is lower", [traces], ([trace]) => {
    const svg = Trace.toSvg(trace)
    assertWellFormed(svg)
    const between = trace.filter((event) => event._tag === "Segment" && event.from !== event.to) as Array<SegmentEvent>
    const drawn = arrows(svg)
    assert.strictEqual(drawn.length, between.length)
    const moments = between.flatMap(({ arrives, at }, index) => [
      { at, y: drawn[index]!.y1 },
      ...arrives === undefined ? [] : [{ at: arrives, y: drawn[index]!.y2 }]
    ])
    for (const one of moments) for (const other of moments) if (one.at < other.at) assert.isBelow(one.y, other.y)
  })
})

const flagsOf = (event: SegmentEvent) =>
  (event.fin ? 1 : 0) | (event.syn ? 2 : 0) | (event.rst ? 4 : 0) | (event.ack ? 16 : 0)

const nanos = (millis: number) => BigInt(Math.round(millis * 1e6))

describe("toPcapng", () => {
  it.prop("has each segment once, whole, with right checksums", [traces], ([trace]) => {
    const { packets } = readCapture(Trace.toPcapng(trace))
    const made = ({ fate }: SegmentEvent) => fate === "forged" || fate === "copied"
    const events = trace.filter((event) => event._tag === "Segment")
    const expected = events
      .map((event) => ({ event, at: nanos(made(event) ? event.arrives! : event.at) }))
      .toSorted((left, right) => Number(left.at - right.at))
    const down = packets.filter(({ comment }) => comment?.includes("is down"))
    const missing = expected.length - packets.length
    // What the network makes for a host that is down is seen nowhere.
    assert.isAtMost(missing, trace.some(({ _tag }) => _tag !== "Segment") ? events.filter(made).length : 0)
    if (missing > 0 || down.length > 0) return
    packets.forEach((packet, index) => {
      const { at, event } = expected[index]!
      assert.strictEqual(packet.at, at)
      assert.strictEqual(packet.interface, made(event) ? event.to : event.from)
      assert.strictEqual(packet.direction, made(event) ? "in" : "out")
      assert.deepStrictEqual(packet.ports, [event.source.port, event.destination.port])
      assert.strictEqual(packet.flags, flagsOf(event))
      assert.strictEqual(packet.sequence, event.sequence % 2 ** 32)
      assert.strictEqual(packet.acknowledgement, event.ack ? event.acknowledgement : 0)
      assert.deepStrictEqual(packet.payload, event.payload)
      assert.strictEqual(packet.options.length, event.syn ? 8 : 0)
      assert.strictEqual(
        packet.comment,
        event.fate === "delivered" ? undefined : made(event) ? `${event.fate} by the network` : event.fate
      )
      if (!event.syn) assert.strictEqual(packet.window === 0, event.window === 0)
    })
  })

  const trace: ReadonlyArray<TraceEvent> = [
    syn({ at: 0, arrives: 5 }),
    syn({ at: 1, arrives: undefined, fate: "lost" }),
    answer({ at: 2, arrives: 4, rst: true, fate: "forged" }),
    syn({ at: 3, arrives: 6, fate: "copied" }),
    data("x", { at: 7, from: "client", to: "client", arrives: 7 })
  ]
  const seen = (at: Trace.PcapngOptions["at"]) =>
    readCapture(Trace.toPcapng(trace, { at })).packets.map((packet) =>
      `${packet.at / 1_000_000n} ${packet.interface} ${packet.direction}`
    )

  it("captures at the sender, and where it arrives what no host has sent", () => {
    assert.deepStrictEqual(seen(undefined), [
      "0 client out",
      "1 client out",
      "4 client in",
      "6 server in",
      "7 client out"
    ])
    assert.deepStrictEqual(seen("sender"), seen(undefined))
  })

  it("captures at both ends, if asked to", () => {
    assert.deepStrictEqual(seen("both"), [
      "0 client out",
      "1 client out",
      "4 client in",
      "5 server in",
      "6 server in",
      "7 client out"
    ])
  })

  it("captures on one host what leaves it and what reaches it", () => {
    assert.deepStrictEqual(seen({ host: "server" }), ["5 server in", "6 server in"])
    assert.deepStrictEqual(seen({ host: "client" }), ["0 client out", "1 client out", "4 client in", "7 client out"])
    assert.deepStrictEqual(seen({ host: "nobody" }), [])
  })

  it("has what arrives before what answers it, in the nanosecond of both", () => {
    const { packets } = readCapture(Trace.toPcapng(
      [syn({ at: 0, arrives: 1.0000004 }), answer({ at: 1, arrives: 2, syn: true })],
      { at: { host: "server" } }
    ))
    assert.deepStrictEqual(packets.map(({ direction }) => direction), ["in", "out"])
  })

  it("says what does not arrive because the host is down", () => {
    const crashed: ReadonlyArray<TraceEvent> = [syn({ at: 0, arrives: 2 }), { _tag: "Crash", at: 1, host: "server" }]
    const { packets } = readCapture(Trace.toPcapng(crashed, { at: "both" }))
    assert.deepStrictEqual(packets.map(({ comment }) => comment), ["lost: server is down"])
  })

  it("gives the addresses the names of their hosts, but not those of every host", () => {
    const ends = { source: Address.tcp("127.0.0.1", 1), destination: Address.tcp("127.0.0.1", 2) }
    const six = { source: Address.tcp("fd00::1", 1), destination: Address.tcp("fe80::1%eth0", 2) }
    const { names } = readCapture(Trace.toPcapng([
      syn(),
      syn(ends),
      syn(six),
      syn({ to: "10.9.9.9", destination: Address.tcp("10.9.9.9", 1) })
    ]))
    assert.deepStrictEqual([...names], [
      ["0a000002", "client"],
      ["0a000001", "server"],
      ["fd000000000000000000000000000001", "client"],
      ["fe800000000000000000000000000001", "server"]
    ])
  })

  it("scales windows that are too great for the field, each direction its own, and never the SYN's", () => {
    const { packets } = readCapture(Trace.toPcapng([
      syn({ window: 1_000_000 }),
      answer({ syn: true, sequence: 500, acknowledgement: 101, window: 65535 }),
      segment({ ack: true, sequence: 101, window: 1_000_000 }),
      segment({ ack: true, sequence: 101, window: 1 }),
      answer({ sequence: 501, window: 777 })
    ]))
    // The last byte of the options, and the field.
    assert.deepStrictEqual(packets.map(({ options, window }) => [options.at(-1), window]), [
      [4, 65535],
      [0, 65535],
      [undefined, 62500],
      [undefined, 1],
      [undefined, 777]
    ])
  })

  it("says in SYNs the MSS: 1460, or more if there was more", () => {
    const mss = (trace: ReadonlyArray<TraceEvent>) =>
      readCapture(Trace.toPcapng(trace)).packets[0]!.options.readUInt16BE(2)
    assert.strictEqual(mss([syn(), data("x")]), 1460)
    assert.strictEqual(mss([syn(), data("x".repeat(9000))]), 9000)
  })

  it("cuts what no packet can carry", () => {
    const { packets } = readCapture(Trace.toPcapng([data("x".repeat(150_000), { fin: true, sequence: 2 ** 32 - 1 })]))
    assert.deepStrictEqual(packets.map(({ flags, payload, sequence }) => [payload.length, sequence, flags]), [
      [65455, 2 ** 32 - 1, 16],
      [65455, 65454, 16],
      [19090, 130_909, 17]
    ])
  })

  it("has only the connections that are asked for", () => {
    const two = [syn(), syn({ source: Address.tcp("10.0.0.2", 9) })]
    const { packets } = readCapture(Trace.toPcapng(two, { connections: [2] }))
    assert.deepStrictEqual(packets.map(({ ports }) => ports), [[9, 80]])
  })
})
