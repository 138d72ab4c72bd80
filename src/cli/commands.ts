/**
 * The commands: what stands on the command line, and what is run for it.
 *
 * @internal
 */
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Effect from "effect/Effect"
import * as Connector from "../Connector.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import * as NodeEndpoint from "../node/NodeEndpoint.ts"
import * as Relay from "../Relay.ts"
import * as ProxyProtocol from "../server/ProxyProtocol.ts"
import { cat } from "./cat.ts"
import * as Echo from "./echo.ts"
import * as Options from "./options.ts"
import type { Handler } from "./serve.ts"
import { serve } from "./serve.ts"

const echoConfig = { server: Options.server, lines: Options.lines, ...Options.serving }

const echoCommand = Command.make("echo", echoConfig, ({ lines, server, ...options }) => {
  const echo = lines ? Echo.lines : Echo.bytes
  return serve(server, (transport, opened) => Effect.zipRight(Effect.sync(() => opened()), echo(transport)), options)
}).pipe(Command.withDescription("Send back what each connection sends"))

const relayConfig = {
  server: Options.server,
  client: Options.client,
  sendProxy: Options.sendProxy,
  ...Options.serving
}

const relayCommand = Command.make(
  "relay",
  relayConfig,
  ({ client, sendProxy, server, ...options }) =>
    Effect.flatMap(NodeEndpoint.client(client), ({ carrier, connector, secure }) => {
      const relay: Handler = (transport, opened) => {
        const header = ProxyProtocol.write({ version: sendProxy, client: transport })
        // A header is for whoever ends TLS as well, so it comes before.
        const dialled = sendProxy === undefined
          ? connector
          : Connector.layered(carrier, NetworkLayer.compose(header, secure))
        return Effect.flatMap(dialled.connect, (outgoing) => {
          opened(outgoing)
          return Effect.catchTag(Relay.run(transport, outgoing), "RelayLost", ({ error }) => Effect.fail(error))
        })
      }
      return serve(server, relay, options)
    })
).pipe(Command.withDescription("Join each connection to a new one"))

const catConfig = { client: Options.client, ...Options.connection }

const catCommand = Command.make(
  "cat",
  catConfig,
  ({ client, ...options }) => Effect.flatMap(NodeEndpoint.client(client), ({ connector }) => cat(connector, options))
).pipe(
  Command.withDescription("Join standard input and output to a connection")
)

export const name = "effect-transport"

/** Each command with what may stand after it. */
export const configs = { echo: echoConfig, relay: relayConfig, cat: catConfig }

const root = Command.make(name).pipe(
  Command.withDescription("Streams over TCP, TLS and UNIX sockets, from the command line"),
  Command.withSubcommands([echoCommand, relayCommand, catCommand])
)

/** The whole tool: given the version, runs what an `argv` asks for. */
export const run = (version: string) =>
  Command.run(root, {
    name,
    version,
    executable: name,
    footer: HelpDoc.blocks([
      HelpDoc.h1("EXAMPLES"),
      ...examples.map((example) => HelpDoc.p(`$ ${name} ${example}`)),
      HelpDoc.h1("EXIT STATUS"),
      HelpDoc.p("0 after a clean end, 1 after a failure, 2 after a wrong use; --help and --version stand alone.")
    ])
  })

const examples = [
  "echo tcp:8007 --lines --verbose",
  "relay tcp:8080:interface=0.0.0.0 unix:/run/app.sock --max-connections 100 --watch",
  "relay tls:8443:privateKey=key.pem:certKey=cert.pem tcp:localhost:8080 --send-proxy v2",
  "relay 'haproxy:tcp\\:8080' tls:example.com:443 --wiretap traffic.pcapng",
  "cat tls:localhost:8443:trustRoots=cert.pem"
]
