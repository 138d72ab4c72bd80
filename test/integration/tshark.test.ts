import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as Network from "../../src/Network.ts"
import * as Rule from "../../src/testing/Rule.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type { SegmentEvent, TraceEvent } from "../../src/testing/Trace.ts"
import * as Trace from "../../src/testing/Trace.ts"
import * as Transport from "../../src/Transport.ts"
import { counting } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

/** What tshark says of a capture, with all checksums checked. */
const tshark = (capture: Uint8Array, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const file = `${yield* Peer.directory}/trace.pcapng`
    fs.writeFileSync(file, capture)
    const checked = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    const program = yield* run("tshark", ["-n", "-r", file, ...checked, ...args])
    assert.strictEqual((yield* program.ended).code, 0, program.stderr)
    return program.output.replace(/\n$/, "")
  })

/** These fields of each packet, or of those that a filter takes. */
const fields = (capture: Uint8Array, names: ReadonlyArray<string>, filter = "frame") =>
  Effect.map(
    tshark(capture, "-Y", filter, "-T", "fields", ...names.flatMap((name) => ["-e", name])),
    (output) => output === "" ? [] : output.split("\n").map((line) => line.split("\t"))
  )

const exchanged = counting(50_000)

/** The client sends, and the server answers with the same when it has all, over a network that loses some. */
const exchange = (family: "IPv4" | "IPv6", options: SimNetwork.Options = {}) =>
  SimNetwork.run(
    Effect.scoped(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 7, family)), "server")
      const client = yield* SimNetwork.on(Network.connect(listener.address), "client")
      const server = yield* listener.accept
      yield* Effect.fork(client.write(exchanged))
      // It begins late: until then its window is closed.
      yield* Effect.sleep("3 seconds")
      yield* server.write(yield* Transport.readExactly(server, exchanged.length))
      yield* Transport.readExactly(client, exchanged.length)
      yield* client.close
      yield* server.close
      yield* Effect.sleep("10 seconds")
      return sim.trace()
    })),
    {
      seed: 7,
      hosts: { client: {}, server: { receiveBuffer: 20_000 } },
      latency: "10 millis",
      rules: [Rule.drop({ rate: 0.1 })],
      ...options
    }
  )

const isSegment = (event: TraceEvent): event is SegmentEvent => event._tag === "Segment"

const lengthOf = ({ fin, payload, syn }: SegmentEvent) => payload.length + (syn ? 1 : 0) + (fin ? 1 : 0)

describe.skipIf(!has("tshark"))("tshark (skipped: tshark is not installed)", () => {
  for (const family of ["IPv4", "IPv6"] as const) {
    it.scopedLive(`reads a trace of ${family}, and finds nothing wrong with it`, () =>
      Effect.gen(function*() {
        const trace = (yield* exchange(family)).filter(isSegment)
        const capture = Trace.toPcapng(trace)
        assert.deepStrictEqual(
          yield* fields(capture, ["frame.number"], "_ws.malformed || _ws.expert.severity == error"),
          []
        )

        const ip = family === "IPv4" ? "ip" : "ipv6"
        const packets = yield* fields(capture, [
          "frame.time_epoch",
          "frame.interface_name",
          `${ip}.src`,
          `${ip}.dst`,
          "tcp.srcport",
          "tcp.dstport",
          "tcp.seq_raw",
          "tcp.ack_raw",
          "tcp.flags",
          "tcp.len",
          "tcp.payload",
          "tcp.checksum.status",
          "frame.comment"
        ])
        assert.deepStrictEqual(
          packets,
          trace.map((event) => [
            (event.at / 1000).toFixed(9),
            event.from,
            event.source.host,
            event.destination.host,
            `${event.source.port}`,
            `${event.destination.port}`,
            `${event.sequence}`,
            `${event.ack ? event.acknowledgement : 0}`,
            `0x00${event.ack ? 1 : 0}${(event.fin ? 1 : 0) + (event.syn ? 2 : 0) + (event.rst ? 4 : 0)}`,
            `${event.payload.length}`,
            Buffer.from(event.payload).toString("hex"),
            "1",
            event.fate === "delivered" ? "" : event.fate
          ])
        )
      }))
  }

  it.scopedLive("sees as sent again what was, and closed windows, and probes of them", () =>
    Effect.gen(function*() {
      const trace = (yield* exchange("IPv4")).filter(isSegment)
      const capture = Trace.toPcapng(trace)
      const names = ["retransmission", "zero_window", "keep_alive", "lost_segment", "ack_lost_segment"]
      const seen = yield* fields(capture, [...names.map((name) => `tcp.analysis.${name}`), "frame.comment"])

      const ends = new Map<string, number>()
      const expected = trace.map((event) => {
        const { fate, from, rst, sequence, window } = event
        const end = ends.get(from) ?? 0
        ends.set(from, Math.max(end, sequence + lengthOf(event)))
        const [again, closed, probe] = lengthOf(event) > 0
          ? [sequence < end, window === 0 && !rst, false]
          : [false, window === 0 && !rst, sequence === end - 1]
        return [...[again, closed, probe, false, false].map((holds) => holds ? "1" : ""), fate === "lost" ? "lost" : ""]
      })
      assert.deepStrictEqual(seen, expected)
      for (const column of [0, 1, 2, 5]) assert.isAbove(expected.filter((row) => row[column] !== "").length, 2)
    }))

  it.scopedLive("follows the connection: the bytes are those that were written", () =>
    Effect.gen(function*() {
      const trace = yield* exchange("IPv4")
      const output = yield* tshark(Trace.toPcapng(trace), "-q", "-z", "follow,tcp,raw,0")
      const lines = output.split("\n").filter((line) => /^\t?[0-9a-f]+$/.test(line))
      const [out, back] = [
        lines.filter((line) => !line.startsWith("\t")),
        lines.filter((line) => line.startsWith("\t"))
      ]
      const hex = Buffer.from(exchanged).toString("hex")
      assert.isTrue(out.join("") === hex)
      assert.isTrue(back.join("").replaceAll("\t", "") === hex)
    }))

  it.scopedLive("knows windows, MSS and names", () =>
    Effect.gen(function*() {
      const hosts = { client: { receiveBuffer: 1_000_000 }, server: {} }
      const trace = (yield* exchange("IPv6", { hosts, rules: [] })).filter(isSegment)
      const capture = Trace.toPcapng(trace)
      const [syn] = yield* fields(capture, ["tcp.options.mss_val", "tcp.options.wscale.shift", "tcp.window_size"])
      assert.deepStrictEqual(syn, ["1460", "4", "65535"])
      const windows = yield* fields(capture, ["tcp.window_size"], "!tcp.flags.syn")
      const expected = trace.filter((event) => !event.syn).map(({ window }) => window)
      windows.forEach(([shown], index) => {
        // Up to what the shift has taken away.
        assert.isAtLeast(Number(shown), expected[index]!)
        assert.isBelow(Number(shown), expected[index]! + 16)
      })
      const named = yield* tshark(capture, "-N", "n", "-T", "fields", "-e", "ipv6.src_host", "-e", "ipv6.dst_host")
      assert.deepStrictEqual(
        named.split("\n"),
        trace.map(({ from, to }) => `${from}\t${to}`)
      )
    }))

  it.scopedLive("sees on one host what arrives there when it arrives, and nothing that does not", () =>
    Effect.gen(function*() {
      const trace = (yield* exchange("IPv4")).filter(isSegment)
      const capture = Trace.toPcapng(trace, { at: { host: "server" } })
      assert.deepStrictEqual(yield* fields(capture, ["frame.number"], "frame.interface_name != server"), [])
      const arrived = trace.flatMap(({ arrives, to }) => to === "server" && arrives !== undefined ? [arrives] : [])
      const seen = yield* fields(capture, ["frame.time_epoch"], "tcp.dstport == 7")
      assert.deepStrictEqual(seen.flat(), arrived.map((millis) => (millis / 1000).toFixed(9)))
      // What is lost on its way is a hole here, not a retransmission.
      assert.isAbove((yield* fields(capture, ["frame.number"], "tcp.analysis.lost_segment")).length, 0)
    }))

  it.scopedLive("takes what is captured at both ends for a retransmission, which is why that has to be asked for", () =>
    Effect.gen(function*() {
      const trace = (yield* exchange("IPv4", { rules: [] })).filter(isSegment)
      const filter = "tcp.analysis.retransmission"
      assert.deepStrictEqual(yield* fields(Trace.toPcapng(trace), ["frame.number"], filter), [])
      const both = Trace.toPcapng(trace, { at: "both" })
      assert.isAbove((yield* fields(both, ["frame.number"], filter)).length, 0)
      assert.strictEqual((yield* fields(both, ["frame.number"])).length, 2 * trace.length)
    }))
})
