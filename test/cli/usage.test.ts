import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { parseSize } from "../../src/cli/options.ts"
import { complaint } from "../../src/cli/usage.ts"
import * as Peer from "../support/peer.ts"
import { shell, tool } from "../support/tool.ts"

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

/** Runs it to its end, which has to come by itself. */
const outcome = (...args: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const program = yield* tool(...args)
    const { code } = yield* program.ended
    return { code, stdout: program.output, stderr: program.stderr }
  }))

type Complaint = readonly [args: string, ...said: ReadonlyArray<string>]

const split = (args: string) => args.split(" ").filter((arg) => arg !== "")

describe("a wrong use is told: what was wrong, and what was expected", () => {
  const complaints: ReadonlyArray<Complaint> = [
    ["", "Missing command", "echo, relay, cat"],
    ["serve tcp:0", "\"serve\"", "echo, relay, cat"],
    ["--bogus", "\"--bogus\""],
    ["echo tcp:0 --bogus", "--bogus", "--lines, --idle-timeout, --max-duration, --rate, --wiretap, --write-timeout"],
    ["echo --bogus tcp:0", "--bogus"],
    ["echo tcp:0 -x", "-x"],
    ["cat --lines tcp:localhost:1", "--lines", "--idle-timeout, --max-duration, --rate, --wiretap, --write-timeout"],
    ["echo tcp:0 --send-proxy v1", "--send-proxy"],
    ["relay tcp:0 tcp:localhost:1 --send-proxy", "--send-proxy"],
    ["echo tcp:0 --rate", "--rate"],
    ["echo tcp:0 --rate --verbose", "--rate"],
    ["echo tcp:0 --rate 1 --rate 2", "--rate"],
    ["echo tcp:0 --lines=yes", "--lines", "\"yes\""],
    ["echo tcp:0 --wiretap=", "Missing value of --wiretap"],
    ["echo tcp:0 --log-level nope", "--log-level", "\"nope\"", "debug, info, warning"],
    ["--log-level=nope echo tcp:0", "--log-level", "\"nope\""],
    ["echo tcp:0 --log-level", "Missing value of --log-level"],
    ["--log-level debug", "Missing command"],
    ["--log-level debug echo tcp:0 --bogus", "--bogus", "--lines, --idle-timeout"]
  ]

  for (const [args, ...said] of complaints) {
    it(`effect-transport ${args}`, () => {
      const text = complaint(split(args)) ?? ""
      for (const part of said) assert.include(text, part)
    })
  }

  it("and no right one is", () => {
    const rightOnes = [
      "echo tcp:0 --lines --rate 1 --verbose",
      "echo --rate=1 tcp:0",
      "relay tcp:0 unix:/x --watch",
      "cat -- --lines",
      "--version",
      "echo -h",
      "--log-level=debug cat tcp:localhost:1",
      "--log-level debug cat tcp:localhost:1",
      "relay tcp:0 --log-level debug unix:/x",
      "cat tcp:localhost:1 --wiretap=a=b"
    ]
    for (const args of rightOnes) assert.isUndefined(complaint(split(args)), args)
  })
})

describe("a wrong use exits 2, with one line on stderr", () => {
  const complaints: ReadonlyArray<Complaint> = [
    ["serve tcp:0", "\"serve\"", "echo, relay, cat"],
    ["echo", "Missing argument <server>"],
    ["echo tcp:0 tcp:1", "'tcp:1'"],
    ["echo tcp:0 --bogus", "--bogus", "--lines, --idle-timeout"],
    ["echo tcp:http", "the port \"http\"", "a whole number from 0 to 65535"],
    ["relay tcp:0 udp:localhost:1", "\"udp\"", "tcp, tls or unix"],
    ["echo tls:0", "no privateKey", "tls:443:privateKey=key.pem:certKey=cert.pem"],
    ["echo haproxy:tcp:8080", "the surplus value \"8080\"", "haproxy:tcp\\:8080"],
    ["echo tcp:0 --max-per-peer none", "--max-per-peer", "\"none\"", "a whole number"],
    ["echo tcp:0 --rate 12XB", "--rate", "\"12XB\"", "64KiB"],
    ["echo tcp:0 --max-connections 0", "--max-connections", "\"0\"", "a whole number"],
    ["echo tcp:0 --idle-timeout soon", "--idle-timeout", "\"soon\"", "30 seconds"]
  ]

  it.live("effect-transport echo tcp:0 --wiretap \"\"", () =>
    Effect.gen(function*() {
      const { code, stderr } = yield* outcome("echo", "tcp:0", "--wiretap", "")
      assert.strictEqual(code, 2)
      assert.match(stderr, /^--wiretap: found "", expected the path of a file.*\n$/)
    }))

  for (const [args, ...said] of complaints) {
    it.live(`effect-transport ${args}`, () =>
      Effect.gen(function*() {
        const { code, stderr, stdout } = yield* outcome(...split(args))
        assert.strictEqual(code, 2)
        assert.strictEqual(stdout, "")
        for (const part of said) assert.include(stderr, part)
        assert.strictEqual(stderr.split("\n").length, 2, stderr)
        assert.notInclude(stderr, "\x1b")
      }))
  }
})

describe("sizes", () => {
  it("are bytes, with SI and binary units", () => {
    const sizes: ReadonlyArray<readonly [string, number | undefined]> = [
      ["1000", 1000],
      ["512B", 512],
      ["1kB", 1000],
      ["64KiB", 65536],
      ["64kib", 65536],
      ["1MB", 1_000_000],
      ["1MiB", 1 << 20],
      ["1.5MiB", 1.5 * (1 << 20)],
      ["1GiB", 1 << 30],
      ["0", undefined],
      ["0.1", undefined],
      ["-1", undefined],
      ["1iB", undefined],
      ["1TiB", undefined],
      ["1M", undefined],
      ["", undefined],
      ["1 000", undefined],
      ["9999999999GiB", undefined]
    ]
    for (const [text, bytes] of sizes) assert.strictEqual(parseSize(text), bytes, text)
  })
})

describe("help and version", () => {
  it.live("--version is the package's", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* outcome("--version"), { code: 0, stdout: `${version}\n`, stderr: "" })
    }))

  it.scopedLive("--help that cannot be written exits 1", () =>
    Effect.gen(function*() {
      const program = yield* shell("exec $tool --help > /dev/full")
      assert.strictEqual((yield* program.ended).code, 1)
      assert.match(program.stderr, /^OutputFailed: .*output.*ENOSPC.*\n$/)
    }))

  it.live("--help names the commands, in plain text where nobody sees colours", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* outcome("--help")
      assert.strictEqual(code, 0)
      assert.strictEqual(stderr, "")
      for (const command of ["echo", "relay", "cat"]) assert.include(stdout, `- ${command}`)
      assert.notInclude(stdout, "\x1b")
      assert.include(stdout, "  - relay <server> <client>  Join each connection to a new one\n")
      assert.include(stdout, "\n$ effect-transport <command> --help\n")
    }))

  it.live("the usage of a command can be typed as it stands there", () =>
    Effect.gen(function*() {
      for (const command of ["echo", "relay", "cat"]) {
        const { stdout } = yield* outcome(command, "--help")
        assert.include(stdout, `\n$ effect-transport ${command} [--`)
        assert.notInclude(stdout, `\n$ ${command}`)
        assert.notInclude(stdout, "user-defined")
        assert.notInclude(stdout, "This setting is optional")
      }
    }))

  it.live("--help of a command names its options, their units, and the form of endpoints", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* outcome("relay", "--help")
      assert.strictEqual(code, 0)
      for (const option of ["--idle-timeout", "--max-connections", "--rate", "--verbose", "--watch", "--send-proxy"]) {
        assert.include(stdout, option)
      }
      assert.include(stdout, "tcp:PORT[:interface=ADDRESS]")
      assert.include(stdout, "tcp:HOST:PORT[:timeout=SECONDS]")
      assert.include(stdout.replaceAll(/\s+/g, " "), "tls:PORT:privateKey=FILE:certKey=FILE")
    }))
})

describe("a listener that cannot be opened exits 1 with one line", () => {
  it.scopedLive("AddressInUse", () =>
    Effect.gen(function*() {
      const { server } = yield* Peer.listen(yield* Peer.free("tcp"))
      const { port } = server.address() as { readonly port: number }
      const { code, stderr, stdout } = yield* outcome("echo", `tcp:${port}`)
      assert.strictEqual(code, 1)
      assert.strictEqual(stdout, "")
      assert.match(stderr, new RegExp(`^AddressInUse: .*127\\.0\\.0\\.1:${port}.*\n$`))
    }))

  it.live("PathNotFound", () =>
    Effect.gen(function*() {
      const { code, stderr } = yield* outcome("echo", "unix:/does/not/exist/s")
      assert.strictEqual(code, 1)
      assert.match(stderr, /^PathNotFound: .*\n$/)
    }))

  it.live("AddressNotAvailable", () =>
    Effect.gen(function*() {
      const { code, stderr } = yield* outcome("relay", "tcp:0:interface=192.0.2.1", "tcp:localhost:1")
      assert.strictEqual(code, 1)
      assert.match(stderr, /^AddressNotAvailable: .*\n$/)
    }))
})
