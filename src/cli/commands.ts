/**
 * The commands: what stands on the command line, and what is run for it.
 *
 * @internal
 */
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Effect from "effect/Effect"
import * as Connector from "../Connector.ts"
import * as Relay from "../Relay.ts"
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

const relayConfig = { server: Options.server, client: Options.client, ...Options.serving }

const relayCommand = Command.make("relay", relayConfig, ({ client, server, ...options }) => {
  const connector = Connector.fromEndpoint(client)
  const relay: Handler = (transport, opened) =>
    Effect.flatMap(connector.connect, (outgoing) => {
      opened(outgoing)
      return Effect.catchTag(Relay.run(transport, outgoing), "RelayLost", ({ error }) => Effect.fail(error))
    })
  return serve(server, relay, options)
}).pipe(Command.withDescription("Join each connection to a new one"))

const catConfig = { client: Options.client }

const catCommand = Command.make("cat", catConfig, ({ client }) => cat(Connector.fromEndpoint(client))).pipe(
  Command.withDescription("Join standard input and output to a connection")
)

export const name = "effect-transport"

/** Each command with what may stand after it. */
export const configs = { echo: echoConfig, relay: relayConfig, cat: catConfig }

const root = Command.make(name).pipe(
  Command.withDescription("Streams over TCP and UNIX sockets, from the command line"),
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
  "cat tcp:localhost:8007"
]
