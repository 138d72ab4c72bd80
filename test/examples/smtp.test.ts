import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawnSync } from "node:child_process"
import * as Address from "../../src/Address.ts"
import { Authority } from "../support/certificates.ts"
import * as Example from "../support/example.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

class Smtp extends Context.Tag("Smtp")<Smtp, Example.Server>() {}

/** What the server answers to all of this, up to its end. */
const converse = (port: string, ...lines: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const nc = yield* run("nc", ["-N", "127.0.0.1", port])
    nc.child.stdin!.end(lines.map((line) => `${line}\r\n`).join(""))
    assert.strictEqual((yield* nc.ended).code, 0, nc.stderr)
    return nc.output.split("\r\n").slice(0, -1)
  })

const greeting = "220 localhost ESMTP"

layer(Layer.scoped(Smtp, Example.server("smtp")), { excludeTestServices: true })("the mail server", (it) => {
  describe.skipIf(!has("nc"))("with nc (skipped: nc is not installed)", () => {
    it.scoped("takes pipelined commands, with bodies in between", () =>
      Effect.gen(function*() {
        const { port, program } = yield* Smtp
        const answers = yield* converse(
          port,
          ...["HELO me", "MAIL FROM:<one@me>", "RCPT TO:<a@you>", "RCPT TO:<b@you>", "DATA"],
          ...["Subject: dots", "", "..", "..x", "a.", "QUIT", "§", "."],
          ...["mail from:<two@me>", "rcpt to:<a@you>", "data", ".", "QUIT"]
        )
        assert.deepStrictEqual(answers, [
          greeting,
          ...["250 OK", "250 OK", "250 OK", "250 OK", "354 A line with a dot ends it", "250 OK"],
          ...["250 OK", "250 OK", "354 A line with a dot ends it", "250 OK", "221 Bye"]
        ])
        const first = "mail from <one@me> to <a@you>, <b@you>\nSubject: dots\r\n\r\n.\r\n.x\r\na.\r\nQUIT\r\n§\r\n\n"
        yield* program.until(() => program.output.includes(`${first}mail from <two@me> to <a@you>\n\n`))
      }))

    it.scoped("answers one line after the other", () =>
      Effect.gen(function*() {
        const { port } = yield* Smtp
        const nc = yield* run("nc", ["-C", "127.0.0.1", port])
        yield* nc.until(() => nc.output === `${greeting}\r\n`)
        nc.child.stdin!.write("EHLO me\n")
        yield* nc.until(() => nc.output.endsWith("250-localhost\r\n250-PIPELINING\r\n250 SIZE 1048576\r\n"))
        nc.child.stdin!.write("RCPT TO:<a@you>\n")
        yield* nc.until(() => nc.output.endsWith("503 MAIL comes first\r\n"))
        nc.child.stdin!.write("DATA\n")
        yield* nc.until(() => nc.output.endsWith("503 RCPT comes first\r\n"))
        nc.child.stdin!.write("HELP\n")
        yield* nc.until(() => nc.output.endsWith("500 Unknown command\r\n"))
        nc.child.stdin!.end("QUIT\n")
        assert.strictEqual((yield* nc.ended).code, 0)
      }))

    it.scoped("answers a line that is too long with 500, and ends", () =>
      Effect.gen(function*() {
        const { port } = yield* Smtp
        assert.deepStrictEqual(yield* converse(port, "x".repeat(510), "x".repeat(511), "NOOP"), [
          greeting,
          "500 Unknown command",
          "500 Line too long"
        ])
      }))

    it.scoped("answers a mail that is too long with 552, and ends", () =>
      Effect.gen(function*() {
        const { port } = yield* Smtp
        const answers = yield* converse(
          port,
          ...["MAIL FROM:<>", "RCPT TO:<a@you>", "DATA"],
          ...Array.from({ length: 3000 }, () => "x".repeat(998)),
          ...[".", "NOOP"]
        )
        assert.deepStrictEqual(answers.slice(-2), ["354 A line with a dot ends it", "552 Mail too long"])
      }))
  })

  describe.skipIf(!has("swaks"))("with swaks (skipped: swaks is not installed)", () => {
    for (const [what, ...options] of [["one by one"], ["pipelined", "--pipeline"]]) {
      it.scoped(`takes a mail, commands ${what}`, () =>
        Effect.gen(function*() {
          const { port, program } = yield* Smtp
          const from = `${process.hrtime.bigint()}@me`
          const swaks = yield* run("swaks", [
            ...["--server", `127.0.0.1:${port}`, "--from", from, "--to", "a@you,b@you", "--helo", "me"],
            ...["--body", "one\n.\n..two\n.three", ...options]
          ])
          assert.strictEqual((yield* swaks.ended).code, 0, swaks.output)
          yield* program.until(() => program.output.includes(`mail from <${from}> to <a@you>, <b@you>\n`))
          const mail = program.output.split(`mail from <${from}>`)[1]!
          assert.match(mail, /\nSubject: test .*\r\n/)
          assert.include(mail, "\r\n\r\none\r\n.\r\n..two\r\n.three\r\n")
        }))
    }
  })
})

const tls = ["openssl", "swaks"].every(has) && spawnSync("swaks", ["--support"]).stdout.includes("TLS supported")

describe.skipIf(!tls)("STARTTLS (skipped: openssl, or swaks with Net::SSLeay, is not installed)", () => {
  it.scopedLive("secures what follows, and swaks sees to it", () =>
    Effect.gen(function*() {
      const authority = new Authority("authority")
      const { files } = authority.issue("localhost", ["DNS:localhost"])
      const program = yield* Example.example("smtp", "0", files.certificate, files.privateKey)
      const { port } = yield* program.address
      const swaks = yield* run("swaks", [
        ...["--server", `localhost:${port}`, "--from", "me@me", "--to", "you@you", "--helo", "me", "--tls"],
        ...["--tls-verify", "--tls-ca-path", authority.root.files.certificate, "--body", "in secret"]
      ])
      assert.strictEqual((yield* swaks.ended).code, 0, swaks.output + swaks.stderr)
      assert.match(swaks.output, /TLS started with cipher TLSv1\.3/)
      yield* program.until(() => program.output.includes("in secret\r\n"))
      // Sent behind STARTTLS in clear, by somebody in between: it is TLS's, which it is not.
      const smuggler = yield* Peer.connect(Address.tcp("127.0.0.1", port))
      yield* smuggler.write("EHLO me\r\nSTARTTLS\r\nMAIL FROM:<evil@me>\r\n")
      const heard = `${yield* smuggler.readAll()}`
      assert.match(heard, /250-STARTTLS[^]*\r\n220 Go ahead\r\n/)
      assert.notInclude(heard, "250 OK")
      smuggler.end()
    }))
})

describe("Ctrl-C", () => {
  it.scopedLive("lets a mail in that is under way, and tells the others goodbye", () =>
    Effect.gen(function*() {
      const server = yield* Example.server("smtp")
      const address = Address.tcp("127.0.0.1", Number(server.port))
      const [idle, sending] = yield* Effect.all([Peer.connect(address), Peer.connect(address)])
      yield* sending.write("MAIL FROM:<late@me>\r\nRCPT TO:<a@you>\r\nDATA\r\nhalf")
      sending.read()
      yield* sending.until(() => sending.text.includes("354"))
      server.program.kill("SIGINT")
      assert.strictEqual(`${yield* idle.readAll()}`, `${greeting}\r\n421 Closing\r\n`)
      yield* sending.write(" a mail\r\n.\r\n")
      assert.match(`${yield* sending.readAll()}`, /\r\n250 OK\r\n421 Closing\r\n$/)
      idle.end()
      sending.end()
      assert.deepStrictEqual(yield* server.program.ended, { code: 0, signal: null })
      assert.include(server.program.output, "mail from <late@me> to <a@you>\nhalf a mail\r\n")
      assert.strictEqual(server.program.stderr, "")
    }))
})
