/**
 * A mail server that prints what it gets: SMTP (RFC 5321), a line protocol with raw bodies in between. Lines are messages
 * of a codec. For a body, which is none of its lines, the session takes the transport back (`handOver`), reads just the
 * body, and goes on with lines behind it: nothing that has come early is lost, so commands may be pipelined. A line that is
 * too long is answered with 500 and ends the connection; five minutes of silence end it, too. Ctrl-C ends the sessions, each
 * with a 421, and after the mail that it is in.
 *
 *   npx tsx examples/smtp.ts 2525
 *   swaks --server 127.0.0.1:2525 --to you@example.com --body 'Hello!'
 *   nc -C 127.0.0.1 2525
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Address from "effect-transport/Address"
import type { ConnectionLost } from "effect-transport/ConnectionError"
import * as Framed from "effect-transport/framing/Framed"
import * as Lines from "effect-transport/framing/Lines"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
import * as Server from "effect-transport/server/Server"
import * as Transport from "effect-transport/Transport"

type Connection = Transport.Transport<ConnectionLost | IdleTimeout.IdleTimeout>

/** Only CRLF ends a line: where LF does so as well, a mail can be smuggled in within the body of another one. */
const lines = Lines.text({ delimiter: "\r\n", maxLength: 510 })

const maxBody = 1024 * 1024
const maxRecipients = 100

const ascii = (text: string) => new TextEncoder().encode(text)

/** What the commands before a body have said. */
class Envelope {
  from: string | undefined
  to: Array<string> = []

  answer(command: string): ReadonlyArray<string> {
    const address = /<(.*?)>/.exec(command)?.[1]
    switch (command.slice(0, 4).toUpperCase()) {
      case "EHLO":
        return ["250-localhost", "250-PIPELINING", `250 SIZE ${maxBody}`]
      case "MAIL":
        this.from = address
        this.to = []
        return [address === undefined ? "501 Who? MAIL FROM:<address>" : "250 OK"]
      case "RCPT":
        if (this.from === undefined) return ["503 MAIL comes first"]
        if (!address) return ["501 Who? RCPT TO:<address>"]
        if (this.to.length === maxRecipients) return ["452 Too many recipients"]
        this.to.push(address)
        return ["250 OK"]
      case "DATA":
        return [this.to.length === 0 ? "503 RCPT comes first" : "354 A line with a dot ends it"]
      case "RSET":
        this.from = undefined
        this.to = []
        return ["250 OK"]
      case "HELO":
      case "NOOP":
        return ["250 OK"]
      case "QUIT":
        return ["221 Bye"]
      default:
        return ["500 Unknown command"]
    }
  }
}

/** Answers commands up to DATA; the body is the next to be read then. Gives `undefined` when there is no mail to come. */
const readEnvelope = (transport: Connection) =>
  Effect.gen(function*() {
    const client = yield* Framed.duplex(transport, lines)
    const envelope = new Envelope()
    while (true) {
      const command = yield* client.receive
      if (command === null) return undefined
      const answer = envelope.answer(command)
      yield* client.sendAll(answer)
      if (answer[0]?.startsWith("221")) return undefined
      if (answer[0]?.startsWith("354")) return yield* Effect.as(client.handOver, envelope)
    }
  })

/**
 * The bytes up to the line that is a dot. The end of the DATA line counts as the one before it, since a body can be empty;
 * at the beginning of any other line the client has doubled a dot (RFC 5321, section 4.5.2).
 */
const readBody = (transport: Connection) =>
  transport.unread(ascii("\r\n")).pipe(
    Effect.zipRight(Transport.readUntil(transport, ascii("\r\n.\r\n"), { limit: maxBody })),
    Effect.map((body) => `${new TextDecoder().decode(body)}\r\n`.replaceAll("\r\n.", "\r\n").slice(2))
  )

const session = (transport: Connection) => {
  const reply = (line: string) => transport.write(ascii(`${line}\r\n`))
  const mails = Effect.gen(function*() {
    yield* reply("220 localhost ESMTP")
    for (let mail = yield* readEnvelope(transport); mail !== undefined; mail = yield* readEnvelope(transport)) {
      const { from, to } = mail
      yield* readBody(transport).pipe(
        Effect.flatMap((body) => Console.log(`mail from <${from}> to <${to.join(">, <")}>\n${body}`)),
        Effect.zipRight(reply("250 OK")),
        Effect.uninterruptible
      )
    }
  })
  return mails.pipe(
    Effect.catchTags({
      FrameTooLong: () => reply("500 Line too long"),
      InvalidFrame: () => reply("500 Not UTF-8"),
      DelimiterNotFound: () => reply("552 Mail too long"),
      IncompleteRead: () => Effect.void,
      IdleTimeout: ({ message }) => Effect.log(message)
    }),
    Effect.onInterrupt(() => Effect.ignore(reply("421 Closing")))
  )
}

export const serve = (port: number) =>
  Effect.gen(function*() {
    const listener = yield* Network.listen(Address.tcp("127.0.0.1", port))
    yield* Console.log(`listening ${Address.format(listener.address)}`)
    const limited = IdleTimeout.make({ duration: "5 minutes" })
    return yield* Server.serve(listener, (transport) => Effect.flatMap(limited(transport), session), {
      maxConnections: 100
    })
  }).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer))

if (process.argv[1] === import.meta.filename) NodeRuntime.runMain(serve(Number(process.argv[2] ?? 2525)))
