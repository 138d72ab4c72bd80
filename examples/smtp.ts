/**
 * A mail server that prints what it gets: SMTP (RFC 5321), a line protocol with raw bodies in between. Lines are messages
 * of a codec. For a body, which is none of its lines, the session takes the transport back (`handOver`), reads just the
 * body, and goes on with lines behind it: nothing that has come early is lost, so commands may be pipelined. A line that is
 * too long is answered with 500 and ends the connection; five minutes of silence end it, too. Ctrl-C ends the sessions, each
 * with a 421, and after the mail that it is in.
 *
 * With a certificate and its key, in PEM, it offers STARTTLS (RFC 3207): TLS is a function of the transport, which was
 * taken back as for a body. Commands that somebody has smuggled in behind STARTTLS in clear break the handshake.
 *
 *   npx tsx examples/smtp.ts 2525 [cert.pem key.pem]
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
import * as Tls from "effect-transport/node/Tls"
import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
import * as Server from "effect-transport/server/Server"
import * as Transport from "effect-transport/Transport"

type Connection = Transport.Transport<ConnectionLost | IdleTimeout.IdleTimeout | Tls.TlsLost>

/** Only CRLF ends a line: where LF does so as well, a mail can be smuggled in within the body of another one. */
const lines = Lines.text({ delimiter: "\r\n", maxLength: 510 })

const maxBody = 1024 * 1024
const maxRecipients = 100

const ascii = (text: string) => new TextEncoder().encode(text)

/** What the commands before a body have said. */
class Envelope {
  from: string | undefined
  to: Array<string> = []
  private readonly offersTls: boolean

  constructor(offersTls: boolean) {
    this.offersTls = offersTls
  }

  answer(command: string): ReadonlyArray<string> {
    const address = /<(.*?)>/.exec(command)?.[1]
    switch (command.slice(0, 4).toUpperCase()) {
      case "EHLO":
        return ["250-localhost", "250-PIPELINING", ...this.offersTls ? ["250-STARTTLS"] : [], `250 SIZE ${maxBody}`]
      case "STAR":
        return [this.offersTls ? "220 Go ahead" : "500 Unknown command"]
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

/**
 * Answers commands up to DATA, and the body is the next to be read then; or up to STARTTLS, and TLS is. Gives `undefined`
 * when there is no mail to come.
 */
const readEnvelope = (transport: Connection, offersTls: boolean) =>
  Effect.gen(function*() {
    const client = yield* Framed.duplex(transport, lines)
    const envelope = new Envelope(offersTls)
    while (true) {
      const command = yield* client.receive
      if (command === null) return undefined
      const answer = envelope.answer(command)
      yield* client.sendAll(answer)
      if (answer[0]?.startsWith("221")) return undefined
      if (answer[0]?.startsWith("354")) return yield* Effect.as(client.handOver, envelope)
      if (answer[0]?.startsWith("220")) return yield* Effect.as(client.handOver, "STARTTLS" as const)
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

const replyTo = (transport: Connection) => (line: string) => transport.write(ascii(`${line}\r\n`))

/** Takes mails until the client has no more, or wants TLS: `true`. */
const takeMails = (transport: Connection, offersTls: boolean) => {
  const reply = replyTo(transport)
  const next = readEnvelope(transport, offersTls)
  const mails = Effect.gen(function*() {
    for (let mail = yield* next; mail !== undefined; mail = yield* next) {
      if (mail === "STARTTLS") return true
      const { from, to } = mail
      yield* readBody(transport).pipe(
        Effect.flatMap((body) => Console.log(`mail from <${from}> to <${to.join(">, <")}>\n${body}`)),
        Effect.zipRight(reply("250 OK")),
        Effect.uninterruptible
      )
    }
    return false
  })
  return mails.pipe(
    Effect.catchTags({
      FrameTooLong: () => Effect.as(reply("500 Line too long"), false),
      InvalidFrame: () => Effect.as(reply("500 Not UTF-8"), false),
      DelimiterNotFound: () => Effect.as(reply("552 Mail too long"), false),
      IncompleteRead: () => Effect.succeed(false),
      IdleTimeout: ({ message }) => Effect.as(Effect.log(message), false)
    }),
    Effect.onInterrupt(() => Effect.ignore(reply("421 Closing")))
  )
}

const securedBy = (context: Tls.Context) => Tls.server({ context })

const session = (transport: Connection, secure: ReturnType<typeof securedBy> | undefined) =>
  Effect.gen(function*() {
    yield* replyTo(transport)("220 localhost ESMTP")
    const wantsTls = yield* takeMails(transport, secure !== undefined)
    if (wantsTls && secure !== undefined) yield* takeMails(yield* secure(transport), false)
  })

/** With TLS, if there are files with a certificate and its key. */
export const serve = (port: number, [certificate, privateKey]: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const secure = certificate === undefined || privateKey === undefined ? undefined : securedBy(
      yield* Tls.context({ identity: yield* Tls.identityFromFiles({ certificate, privateKey }) })
    )
    const listener = yield* Network.listen(Address.tcp("127.0.0.1", port))
    yield* Console.log(`listening ${Address.format(listener.address)}`)
    const limited = IdleTimeout.make({ duration: "5 minutes" })
    const handler = (transport: Transport.Transport) =>
      Effect.flatMap(limited(transport), (limited) => session(limited, secure))
    return yield* Server.serve(listener, handler, { maxConnections: 100 })
  }).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer))

if (process.argv[1] === import.meta.filename) {
  NodeRuntime.runMain(serve(Number(process.argv[2] ?? 2525), process.argv.slice(3)))
}
