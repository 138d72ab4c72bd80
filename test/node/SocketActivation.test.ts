import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as path from "node:path"
import * as Address from "../../src/Address.ts"
import * as SocketActivation from "../../src/node/SocketActivation.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

const file = path.join(import.meta.dirname, "../support/activated.ts")

/** A manager holds the sockets and does not accept: Node's servers cannot. For each line of its input it starts a program. */
const script = `
import os, socket, sys
tcp = socket.create_server(("127.0.0.1", 0))
unix = socket.socket(socket.AF_UNIX)
unix.bind(sys.argv[1])
unix.listen()
assert (tcp.fileno(), unix.fileno()) == (3, 4)
tcp.set_inheritable(True)
unix.set_inheritable(True)
print("port", tcp.getsockname()[1], flush=True)
for line in sys.stdin:
    form, pid = line.split()
    child = os.fork()
    if child == 0:
        names = {"LISTEN_PID": {"own": str(os.getpid()), "manager": str(os.getppid())}.get(pid, pid), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:"}
        os.execve(sys.argv[2], [*sys.argv[2:], form], {**os.environ, **names})
    print("started", child, flush=True)
    print("ended", os.waitpid(child, 0)[1], flush=True)
`

const manager = Effect.gen(function*() {
  const unix = yield* Peer.free("unix") as Effect.Effect<Address.UnixAddress, never, Scope.Scope>
  const program = yield* run("python3", ["-c", script, unix.path, process.execPath, "--import", "tsx", file], {
    detached: true,
    env: { ...process.env, npm_config_loglevel: "silent" }
  })
  const port = () => /^port (\d+)$/m.exec(program.output)?.[1]
  yield* program.until(() => port() !== undefined)
  const ready = () => [...program.output.matchAll(/^ready (\d+) (\d+)$/gm)]
  return {
    program,
    addresses: [Address.tcp("127.0.0.1", Number(port())), unix] as const,
    start: (form: "alone" | "single" | "slow" | "cluster", pid = "own") =>
      Effect.sync(() => program.child.stdin!.write(`${form} ${pid}\n`)),
    /** The processes that are ready, so many of them: what they are, and on how many sockets. */
    ready: (count: number) =>
      Effect.map(
        program.until(() => ready().length === count),
        () => ready().map(([, sockets, pid]) => ({ sockets: Number(sockets), pid: Number(pid) }))
      )
  }
})

const ask = (address: Address.Address) =>
  Effect.scoped(Effect.gen(function*() {
    const peer = yield* Peer.connect(address)
    peer.end()
    return String(yield* peer.readAll())
  }))

describe.skipIf(!has("python3"))("SocketActivation.listeners (skipped: python3 is not installed)", () => {
  it.scopedLive(
    "serve on the sockets of a manager; while nobody does, clients wait for the next process",
    () =>
      Effect.gen(function*() {
        const { addresses: [tcp, unix], program, ready, start } = yield* manager
        yield* start("alone")
        const [first] = yield* ready(1)
        assert.strictEqual(first!.sockets, 2)
        assert.strictEqual(yield* ask(tcp), `${first!.pid} web`)
        assert.strictEqual(yield* ask(unix), `${first!.pid} unknown`)
        yield* Effect.sync(() => process.kill(first!.pid, "SIGTERM"))
        yield* program.until(() => program.output.includes("ended 0"))
        const waiting = yield* Peer.connect(tcp)
        assert.isUndefined(waiting.code)
        yield* start("alone")
        const [, second] = yield* ready(2)
        assert.strictEqual(String(yield* waiting.readAll()), `${second!.pid} web`)
      }),
    60_000
  )

  it.scopedLive("are shared by the workers of a cluster", () =>
    Effect.gen(function*() {
      const { addresses, ready, start } = yield* manager
      yield* start("cluster")
      const workers = yield* ready(2)
      for (const [index, name] of ["web", "unknown"].entries()) {
        const answers = [yield* ask(addresses[index]!), yield* ask(addresses[index]!)]
        assert.sameMembers(answers, workers.map(({ pid }) => `${pid} ${name}`))
      }
    }), 60_000)

  it.scopedLive(
    "are lost with the last worker: the cluster fails, for the manager to start the next",
    () =>
      Effect.gen(function*() {
        const { addresses: [tcp], program, ready, start } = yield* manager
        yield* start("single")
        const [worker] = yield* ready(1)
        assert.strictEqual(yield* ask(tcp), `${worker!.pid} web`)
        yield* Effect.sync(() => process.kill(worker!.pid, "SIGKILL"))
        yield* program.until(() => /^ended (?!0)/m.test(program.output))
        const waiting = yield* Peer.connect(tcp)
        yield* start("alone")
        const [, next] = yield* ready(2)
        assert.strictEqual(String(yield* waiting.readAll()), `${next!.pid} web`)
      }),
    60_000
  )

  it.scopedLive(
    "are lost with the last worker that listens, though the one before still drains",
    () =>
      Effect.gen(function*() {
        const { addresses: [tcp], program, ready, start } = yield* manager
        yield* start("slow")
        yield* ready(1)
        const served = yield* Peer.connect(tcp)
        yield* served.readBytes(1)
        const primary = Number(/^started (\d+)$/m.exec(program.output)![1])
        yield* Effect.sync(() => process.kill(primary, "SIGHUP"))
        const [old, young] = yield* ready(2)
        yield* program.until(() => program.output.includes("have been replaced"))
        yield* Effect.sync(() => process.kill(young!.pid, "SIGKILL"))
        yield* program.until(() => program.output.includes("The sockets of the service manager are lost"))
        assert.isTrue(process.kill(old!.pid, 0))
        served.end()
        yield* program.until(() => /^ended (?!0)/m.test(program.output))
        assert.lengthOf(yield* ready(2), 2)
      }),
    60_000
  )

  it.scopedLive("are none if they are meant for another process", () =>
    Effect.gen(function*() {
      const { ready, start } = yield* manager
      yield* start("alone", "1")
      // Only a worker of a cluster has what its parent was started with.
      yield* start("alone", "manager")
      assert.deepStrictEqual((yield* ready(2)).map(({ sockets }) => sockets), [0, 0])
    }), 60_000)
})

/** What a manager would set, for this process. */
const environment = (LISTEN_FDS: string) =>
  Effect.acquireRelease(
    Effect.sync(() => void Object.assign(process.env, { LISTEN_FDS, LISTEN_PID: process.pid })),
    () =>
      Effect.sync(() => {
        delete process.env["LISTEN_FDS"]
        delete process.env["LISTEN_PID"]
      })
  )

describe("SocketActivation.listeners without a manager", () => {
  it.scoped("are none", () =>
    Effect.map(SocketActivation.listeners(), (listeners) => assert.deepStrictEqual(listeners, [])))

  for (const count of ["", "0", "-1", "Infinity", "1e3", "0x3", " 3", "3.0", "03"]) {
    it.scoped(`are none of a number that is ${JSON.stringify(count)}`, () =>
      Effect.gen(function*() {
        yield* environment(count)
        assert.deepStrictEqual(yield* SocketActivation.listeners(), [])
      }))
  }

  it.scopedLive(
    "fail at the first descriptor that cannot listen, however many there should be",
    () =>
      Effect.gen(function*() {
        const program = yield* run("bash", [
          "-c",
          `LISTEN_PID=$$ exec "$@" 3< /dev/null`,
          "bash",
          process.execPath,
          "--import",
          "tsx",
          file,
          "alone"
        ], {
          env: { ...process.env, npm_config_loglevel: "silent", LISTEN_FDS: "4000000000" }
        })
        assert.deepStrictEqual(yield* program.ended, { code: 1, signal: null })
        assert.include(program.stderr, "Cannot listen on descriptor 3")
      }),
    60_000
  )
})
