/**
 * A little redis, which redis-cli and redis-benchmark take for one: PING, ECHO, SET, GET, DEL, INCR, SUBSCRIBE, PUBLISH. It
 * shows a codec (resp.ts) in use; pipelining, which takes no code at all; and server push: a subscriber is sent what is
 * published while its commands are still read. One that does not read misses messages, and holds nobody up. What is not
 * RESP is answered with an error and ends the connection. Ctrl-C ends it when what it is about to answer is sent.
 *
 *   npx tsx examples/redis.ts 6380
 *   redis-cli -p 6380
 *   redis-benchmark -p 6380 -t ping,set,get -P 16 -q
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Address from "effect-transport/Address"
import * as Framed from "effect-transport/framing/Framed"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"
import * as Resp from "./resp.ts"

/** What a client is sent without having asked. */
type Pushes = Queue.Queue<Resp.Reply>

const codec = Resp.make()

const leastArguments = { PING: 0, ECHO: 1, SET: 2, GET: 1, DEL: 1, INCR: 1, SUBSCRIBE: 1, PUBLISH: 2 }

const isKnown = (name: string): name is keyof typeof leastArguments => Object.hasOwn(leastArguments, name)

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const utf8 = (text: string) => new TextEncoder().encode(text)

class Redis {
  private readonly values = new Map<string, Uint8Array>()
  private readonly channels = new Map<string, Set<Pushes>>()

  /** One reply, but to SUBSCRIBE one for each channel. */
  execute([name, ...args]: Resp.Command, pushes: Pushes): Effect.Effect<ReadonlyArray<Resp.Reply>, Resp.Refused> {
    return Effect.gen(this, function*() {
      if (name === undefined) return []
      const command = text(name).toUpperCase()
      if (!isKnown(command)) return yield* new Resp.Refused({ message: "unknown command" })
      if (args.length < leastArguments[command]) return yield* new Resp.Refused({ message: "too few arguments" })
      const [first = utf8(""), second = utf8("")] = args
      const key = text(first)
      switch (command) {
        case "PING":
          return [args[0] ?? "PONG"]
        case "ECHO":
          return [first]
        case "SET":
          // A copy: the argument is a part of all that came with it.
          this.values.set(key, Uint8Array.from(second))
          return ["OK"]
        case "GET":
          return [this.values.get(key) ?? null]
        case "DEL":
          return [args.filter((key) => this.values.delete(text(key))).length]
        case "INCR": {
          const value = Number(text(this.values.get(key) ?? utf8("0"))) + 1
          if (!Number.isSafeInteger(value)) return yield* new Resp.Refused({ message: "value is not an integer" })
          this.values.set(key, utf8(String(value)))
          return [value]
        }
        case "SUBSCRIBE":
          return args.map((channel) => {
            this.channels.set(text(channel), this.subscribers(text(channel)).add(pushes))
            const count = [...this.channels.values()].filter((subscribers) => subscribers.has(pushes)).length
            return [utf8("subscribe"), channel, count]
          })
        case "PUBLISH": {
          const subscribers = this.subscribers(key)
          yield* Effect.forEach(subscribers, (pushes) => pushes.offer([utf8("message"), first, second]))
          return [subscribers.size]
        }
      }
    })
  }

  private subscribers(channel: string): Set<Pushes> {
    return this.channels.get(channel) ?? new Set()
  }

  forget(pushes: Pushes): void {
    for (const [channel, subscribers] of this.channels) {
      if (subscribers.delete(pushes) && subscribers.size === 0) this.channels.delete(channel)
    }
  }
}

const session = (redis: Redis, transport: Transport) =>
  Effect.gen(function*() {
    const client = yield* Framed.duplex(transport, codec)
    const pushes = yield* Effect.acquireRelease(
      Queue.sliding<Resp.Reply>(100),
      (pushes) => Effect.sync(() => redis.forget(pushes))
    )
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.takeBetween(pushes, 1, 100), client.sendAll)))
    const answer = (command: Resp.Command) =>
      redis.execute(command, pushes).pipe(
        Effect.catchTag("Refused", (refused) => Effect.succeed([refused])),
        Effect.flatMap(client.sendAll)
      )
    const complain = () => client.send(new Resp.Refused({ message: "Protocol error" }))
    yield* Stream.runForEach(client.messages, answer).pipe(
      Effect.catchTags({ FrameTooLong: complain, FrameTruncated: complain, InvalidFrame: complain })
    )
  })

export const serve = (port: number) =>
  Effect.gen(function*() {
    const listener = yield* Network.listen(Address.tcp("127.0.0.1", port))
    yield* Console.log(`listening ${Address.format(listener.address)}`)
    const redis = new Redis()
    return yield* Server.serve(listener, (transport) => session(redis, transport), { maxConnections: 1000 })
  }).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer))

if (process.argv[1] === import.meta.filename) NodeRuntime.runMain(serve(Number(process.argv[2] ?? 6380)))
