/** One end of a connection by itself: what it makes of each segment in each state, as RFC 9293 §3.10.7 has it. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Address from "../../../../src/Address.ts"
import type { SystemFailure } from "../../../../src/ConnectionError.ts"
import type { Events } from "../../../../src/Driver.ts"
import { Agenda } from "../../../../src/internal/agenda.ts"
import { nothing } from "../../../../src/internal/bytes.ts"
import type { Segment } from "../../../../src/testing/internal/sim/segment.ts"
import { TcpConnection } from "../../../../src/testing/internal/sim/tcp.ts"
import { ascii, bytes, text } from "../../../support/bytes.ts"

const here = Address.tcp("10.0.0.1", 1)
const there = Address.tcp("10.0.0.2", 2)

/** A clock that stands still: no timer is about what a segment does. */
const still: Clock.Clock = {
  ...Clock.make(),
  unsafeCurrentTimeMillis: () => 0,
  unsafeCurrentTimeNanos: () => 0n,
  sleep: () => Effect.never
}

/** The numbers begin at 100 here, and at 500 there. */
class Bench {
  readonly sent: Array<Segment> = []
  readonly log: Array<string> = []
  forgotten = false
  settled: string | undefined = undefined
  readonly connection: TcpConnection

  constructor(state: "SYN_SENT" | "SYN_RECEIVED") {
    const kernel = {
      agenda: new Agenda(still),
      mssTo: () => 10,
      sendBuffer: 1000,
      receiveBuffer: 100,
      initialSequence: () => 100,
      transmit: (segment: Segment) => void this.sent.push(segment),
      forget: () => void (this.forgotten = true),
      freeDescriptor: () => void this.log.push("descriptor")
    }
    this.connection = new TcpConnection(kernel, here, there, state, (failure) => {
      this.settled = failure?.code ?? "established"
    })
    if (state === "SYN_SENT") this.connection.open()
    else this.connection.answer(segment({ syn: true, sequence: 500 }))
    if (state === "SYN_RECEIVED") this.attach()
  }

  attach(): void {
    const events: Events<SystemFailure> = {
      received: (chunk) => void this.log.push(text(chunk)),
      ended: () => void this.log.push("end"),
      written: (bytes) => void this.log.push(`written ${bytes}`),
      finished: () => void this.log.push("finished"),
      failed: ({ code, syscall }) => void this.log.push(`${syscall} ${code}`),
      released: () => void this.log.push("released"),
      turned: () => {}
    }
    this.connection.attach(events)
  }

  /** Hears it, and gives what is said to it. */
  hear(part: Partial<Segment>): string {
    this.sent.length = 0
    this.connection.receive(segment(part))
    return this.said
  }

  get said(): string {
    return this.sent.map(({ ack, acknowledgement, fin, payload, rst, sequence, syn }) =>
      [syn && "SYN", fin && "FIN", rst && "RST", sequence, ack && `ACK ${acknowledgement}`, text(payload)]
        .filter(Boolean).join(" ")
    ).join(", ")
  }

  get state(): string {
    return this.connection.describe.state
  }
}

const segment = (part: Partial<Segment>): Segment => ({
  source: there,
  destination: here,
  sequence: 501,
  acknowledgement: 0,
  window: 1000,
  payload: nothing,
  ...part
})

const ack = (acknowledgement: number, part: Partial<Segment> = {}) => ({ ack: true, acknowledgement, ...part }) as const

const data = (sequence: number, what: string, part: Partial<Segment> = {}) =>
  ack(101, { sequence, payload: ascii(what), ...part })

const established = (): Bench => {
  const bench = new Bench("SYN_SENT")
  bench.hear(ack(101, { syn: true, sequence: 500 }))
  bench.attach()
  bench.connection.startReading()
  return bench
}

/** How to get there from `ESTABLISHED`. */
const ways: Record<string, (bench: Bench) => void> = {
  ESTABLISHED: () => {},
  FIN_WAIT_1: (bench) => bench.connection.end(),
  FIN_WAIT_2: (bench) => {
    bench.connection.end()
    bench.hear(ack(102))
  },
  CLOSE_WAIT: (bench) => void bench.hear(data(501, "", { fin: true })),
  LAST_ACK: (bench) => {
    bench.hear(data(501, "", { fin: true }))
    bench.connection.end()
  },
  CLOSING: (bench) => {
    bench.connection.end()
    bench.hear(data(501, "", { fin: true }))
  },
  TIME_WAIT: (bench) => {
    bench.connection.end()
    bench.hear(ack(102, { fin: true }))
  }
}

const inState = (state: string): Bench => {
  const bench = established()
  ways[state]!(bench)
  assert.strictEqual(bench.state, state)
  bench.log.length = 0
  return bench
}

/** Also of this side's end, where it was said. */
const nextOf = (state: string) => state === "ESTABLISHED" || state === "CLOSE_WAIT" ? 101 : 102
const expectedOf = (state: string) => ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"].includes(state) ? 501 : 502

describe("SYN_SENT", () => {
  const heard = (part: Partial<Segment>) => {
    const bench = new Bench("SYN_SENT")
    return [bench.hear(part), bench.state, bench.settled]
  }

  it("has said SYN", () => assert.strictEqual(new Bench("SYN_SENT").said, "SYN 100"))

  it("is established by the answer", () => {
    assert.deepStrictEqual(heard(ack(101, { syn: true, sequence: 500 })), ["101 ACK 501", "ESTABLISHED", "established"])
  })

  it("is refused by a reset that answers", () => {
    assert.deepStrictEqual(heard(ack(101, { rst: true, sequence: 0 })), ["", "CLOSED", "ECONNREFUSED"])
  })

  it("resets whoever acknowledges something else", () => {
    for (const wrong of [100, 102, 7]) {
      assert.deepStrictEqual(heard(ack(wrong, { syn: true })), [`RST ${wrong} ACK 502`, "SYN_SENT", undefined])
      assert.deepStrictEqual(heard(ack(wrong)), [`RST ${wrong} ACK 501`, "SYN_SENT", undefined])
    }
  })

  it("takes no notice of resets that answer nothing, and of anything else", () => {
    for (const part of [ack(7, { rst: true }), { rst: true } as const, ack(101), { payload: ascii("x") }]) {
      assert.deepStrictEqual(heard(part), ["", "SYN_SENT", undefined])
    }
  })

  it("meets a peer that calls as well", () => {
    const bench = new Bench("SYN_SENT")
    assert.strictEqual(bench.hear({ syn: true, sequence: 500 }), "SYN 100 ACK 501")
    assert.strictEqual(bench.state, "SYN_RECEIVED")
    bench.hear(ack(101, { syn: true, sequence: 500 }))
    assert.strictEqual(bench.settled, "established")
  })
})

describe("SYN_RECEIVED", () => {
  const heard = (part: Partial<Segment>) => {
    const bench = new Bench("SYN_RECEIVED")
    return [bench.hear(part), bench.state, bench.settled]
  }

  it("has answered", () => assert.strictEqual(new Bench("SYN_RECEIVED").said, "SYN 100 ACK 501"))

  it("is established by the acknowledgement, also one with data or an end", () => {
    assert.deepStrictEqual(heard(ack(101)), ["", "ESTABLISHED", "established"])
    assert.deepStrictEqual(heard(data(501, "x")), ["101 ACK 502", "ESTABLISHED", "established"])
    assert.deepStrictEqual(heard(data(501, "", { fin: true })), ["101 ACK 502", "CLOSE_WAIT", "established"])
  })

  it("answers again when it is called again", () => {
    assert.deepStrictEqual(heard({ syn: true, sequence: 500 }), ["SYN 100 ACK 501", "SYN_RECEIVED", undefined])
  })

  it("resets whoever acknowledges something else, and goes on waiting", () => {
    assert.deepStrictEqual(heard(ack(100)), ["RST 100 ACK 501", "SYN_RECEIVED", undefined])
    assert.deepStrictEqual(heard(ack(900)), ["RST 900 ACK 501", "SYN_RECEIVED", undefined])
  })

  it("is over by a reset in the window, and by no other", () => {
    assert.deepStrictEqual(heard({ rst: true, sequence: 501 }), ["", "CLOSED", "ECONNRESET"])
    assert.deepStrictEqual(heard({ rst: true, sequence: 400 }), ["", "SYN_RECEIVED", undefined])
    assert.deepStrictEqual(heard({ rst: true, sequence: 602 }), ["", "SYN_RECEIVED", undefined])
  })

  it("takes no notice of what acknowledges nothing", () => {
    assert.deepStrictEqual(heard({ payload: ascii("x") }), ["", "SYN_RECEIVED", undefined])
  })
})

for (const state of Object.keys(ways)) {
  describe(state, () => {
    const next = nextOf(state)
    const expected = expectedOf(state)
    const current = `${next} ACK ${expected}`

    it("answers a SYN with where it is, and stays", () => {
      // A host looks at one that comes in TIME_WAIT first.
      if (state === "TIME_WAIT") return
      const bench = inState(state)
      assert.strictEqual(bench.hear({ syn: true, sequence: 9000 }), current)
      assert.strictEqual(bench.hear(ack(101, { syn: true, sequence: 500 })), current)
      assert.deepStrictEqual([bench.state, bench.log], [state, []])
    })

    it("answers what is old with where it is, and says nothing to what is merely an acknowledgement", () => {
      const bench = inState(state)
      assert.strictEqual(bench.hear(data(expected - 1, "x")), current)
      assert.strictEqual(bench.hear(ack(101, { sequence: expected })), "")
      assert.deepStrictEqual([bench.state, bench.log], [state, []])
    })

    it("answers a probe", () => {
      if (state === "TIME_WAIT") return
      const bench = inState(state)
      assert.strictEqual(bench.hear(ack(101, { sequence: expected - 1 })), current)
    })

    it("takes no notice of what acknowledges what it has not said", () => {
      const bench = inState(state)
      bench.hear(ack(next + 1, { sequence: expected }))
      assert.strictEqual(bench.state, state)
    })

    it("takes no notice of a reset out of its window", () => {
      const bench = inState(state)
      for (const sequence of [expected - 1, expected + 200]) assert.strictEqual(bench.hear({ rst: true, sequence }), "")
      assert.deepStrictEqual([bench.state, bench.log], [state, []])
    })

    it("is over by a reset, which is an error where something could have been lost", () => {
      const bench = inState(state)
      assert.strictEqual(bench.hear({ rst: true, sequence: expected }), "")
      assert.isTrue(bench.forgotten)
      assert.deepStrictEqual(bench.log, expected === 501 ? ["read ECONNRESET"] : [])
    })

    it("takes no data that is out of its window", () => {
      if (expected === 502) return
      const bench = inState(state)
      assert.strictEqual(bench.hear(data(602, "x")), current)
      bench.hear(data(501, "a".repeat(100)))
      bench.hear(data(601, "b"))
      assert.strictEqual(bench.log.join(""), "a".repeat(100) + "b")
    })

    it("is reset when the program lets go of it at once, and a host knows nothing of it then", () => {
      if (state === "TIME_WAIT") return
      const bench = inState(state)
      bench.sent.length = 0
      bench.connection.reset()
      assert.strictEqual(bench.said, `RST ${current}`)
      assert.deepStrictEqual([bench.forgotten, bench.state], [true, "CLOSED"])
      assert.deepStrictEqual(bench.log, ["descriptor", "released"])
    })

    it("gives data and an end in their order, whatever the order in which they come", () => {
      if (expected === 502) return
      const bench = inState(state)
      assert.strictEqual(bench.hear(data(503, "c", { fin: true })), current)
      assert.strictEqual(bench.hear(data(502, "b")), current)
      assert.strictEqual(bench.hear(data(501, "a")), `${next} ACK 505`)
      assert.deepStrictEqual([bench.log.slice(0, -1).join(""), bench.log.at(-1)], ["abc", "end"])
    })

    it("gives nothing that lies behind the end", () => {
      if (expected === 502) return
      const bench = inState(state)
      bench.hear(data(502, "b"))
      bench.hear(data(501, "", { fin: true }))
      bench.hear(data(502, "c"))
      assert.deepStrictEqual(bench.log, ["end"])
    })

    it("gives what overlaps once", () => {
      if (expected === 502) return
      const bench = inState(state)
      bench.hear(data(501, "abc"))
      bench.hear(data(502, "bcd"))
      bench.hear(data(501, "abcde", { fin: true }))
      bench.hear(data(501, "abcde", { fin: true }))
      assert.deepStrictEqual(bench.log, ["abc", "d", "e", "end"])
    })
  })
}

describe("a program that has let go", () => {
  it("of a connection with unread input resets it (RFC 2525 §2.17)", () => {
    const bench = established()
    bench.connection.stopReading()
    bench.hear(data(501, "unread"))
    bench.sent.length = 0
    bench.connection.release()
    assert.strictEqual(bench.said, "RST 101 ACK 507")
    assert.deepStrictEqual(bench.log, ["descriptor", "released"])
  })

  it("in TIME_WAIT leaves it there, with unread input too", () => {
    for (const letGo of ["release", "reset"] as const) {
      const bench = established()
      bench.connection.stopReading()
      bench.connection.end()
      bench.hear(ack(102, { payload: ascii("unread"), fin: true }))
      assert.strictEqual(bench.state, "TIME_WAIT")
      bench.sent.length = 0
      bench.connection[letGo]()
      assert.deepStrictEqual([bench.said, bench.state, bench.forgotten], ["", "TIME_WAIT", false])
      assert.deepStrictEqual(bench.log, ["finished", "descriptor", "released"])
    }
  })

  it("does not hear what comes then, and the peer does (RFC 1122 §4.2.2.13)", () => {
    const bench = established()
    bench.connection.release()
    assert.strictEqual(bench.hear(data(501, "x")), "RST 102 ACK 501")
    assert.isTrue(bench.forgotten)
    assert.deepStrictEqual(bench.log, ["descriptor", "released"])
  })

  it("hears no more of the input that is in hand, in the middle of which it did", () => {
    const bench = established()
    bench.connection.stopReading()
    for (let index = 0; index < 5; index++) bench.hear(data(501 + 10 * index, "0123456789"))
    const seen: Array<number> = []
    const { connection } = bench
    connection.attach({
      received: (chunk) => {
        seen.push(chunk.length)
        connection.reset()
      },
      ended: () => seen.push(-1),
      written: () => seen.push(-1),
      finished: () => seen.push(-1),
      failed: () => seen.push(-1),
      released: () => {},
      turned: () => {}
    })
    connection.startReading()
    assert.deepStrictEqual(seen, [50])
  })
})

describe("a window", () => {
  it("that an old segment names does not shrink what was promised", () => {
    const bench = established()
    bench.sent.length = 0
    bench.hear(ack(101, { window: 5 }))
    bench.connection.write([bytes(10)], 10)
    assert.deepStrictEqual(bench.sent.map(({ payload }) => payload.length), [10])
  })

  it("is not overrun", () => {
    const bench = new Bench("SYN_SENT")
    bench.hear(ack(101, { syn: true, sequence: 500, window: 25 }))
    bench.attach()
    bench.sent.length = 0
    bench.connection.write([bytes(100)], 100)
    // Not into its last bit, while something is under way (RFC 9293 §3.8.6.2.1).
    assert.deepStrictEqual(bench.sent.map(({ payload }) => payload.length), [10, 10])
    bench.hear(ack(121, { window: 5 }))
    assert.deepStrictEqual(bench.sent.map(({ payload }) => payload.length), [5])
  })
})

describe("a kernel's buffer", () => {
  it("that is full leaves the rest to the program, until what is there is acknowledged", () => {
    const bench = established()
    assert.isFalse(bench.connection.write([bytes(1200)], 1200))
    assert.deepStrictEqual(bench.log, ["written 1000"])
    bench.hear(ack(201))
    assert.deepStrictEqual(bench.log, ["written 1000", "written 100"])
    bench.hear(ack(401))
    assert.deepStrictEqual(bench.log, ["written 1000", "written 100", "written 100"])
    assert.isTrue(bench.connection.write([bytes(100)], 100))
  })
})
