/**
 * The load of `load.c` on node:net, for machines without a C compiler: same arguments, same answers. It costs about what
 * the servers cost, so with it the fastest of them are held back.
 */
import { once } from "node:events"
import * as net from "node:net"
import { createInterface } from "node:readline"
import { setTimeout } from "node:timers/promises"

const firstRampSeconds = 0.2
const rampSeconds = 0.05
const seconds = () => performance.now() / 1000

const [mode, port, connections, ...rest] = process.argv.slice(2).map((argument, index) =>
  index === 0 ? argument : Number(argument)
) as [string, number, number, ...Array<number>]

const dial = () => net.connect({ port, host: "127.0.0.1", noDelay: true }).on("error", () => process.exit(1))

// -----------------------------------------------------------------------------
// what is measured
// -----------------------------------------------------------------------------

/** Of all runs. */
const latencies: Array<number> = []
let duration = 0
/** More is to be started; what comes back counts. */
const state = { goesOn: false, measures: false }

const record = (since: number) => {
  if (state.measures) latencies.push(seconds() - since)
}

const report = () => {
  const sorted = Float64Array.from(latencies).toSorted()
  const percentile = (share: number) => Math.floor(sorted[Math.floor(share * (sorted.length - 1))]! * 1e6)
  const count = latencies.length
  console.log(JSON.stringify({ rate: count / duration, p50: percentile(0.5), p99: percentile(0.99), count }))
}

/** What is started completes when nothing of it is under way any more. */
const run = async (length: number, start: () => ReadonlyArray<Promise<void>>) => {
  state.goesOn = true
  const all = start()
  await setTimeout((duration === 0 ? firstRampSeconds : rampSeconds) * 1000)
  state.measures = true
  console.log("measuring")
  const since = seconds()
  do await setTimeout(length * 1000)
  while (latencies.length === 0)
  state.goesOn = state.measures = false
  duration += seconds() - since
  report()
  await Promise.all(all)
}

/** One run for each number of seconds that comes in. */
const runs = async (start: () => ReadonlyArray<Promise<void>>) => {
  console.log("open")
  for await (const line of createInterface({ input: process.stdin })) await run(Number(line), start)
  process.exit()
}

// -----------------------------------------------------------------------------
// the loads
// -----------------------------------------------------------------------------

/** As many as fill a chunk, from each byte of the first one on. */
const repeated = (size: number): Buffer => Buffer.alloc(size + 65536, `${"x".repeat(size - 1)}\n`)

/**
 * Opens a connection and has one message of it answered, so that it is accepted. Then it rests, and completes with what
 * sets it going: Node accepts one connection each time around its loop, traffic would keep it from the others.
 */
const open = (size: number, inFlight: number, messages: Buffer) =>
  new Promise<() => Promise<void>>((resolve) => {
    const message = messages.subarray(0, size)
    const socket = dial()
    const started: Array<number> = []
    let received = 0
    let rest = () => resolve(go)
    const send = () => {
      started.push(seconds())
      socket.write(message)
    }
    const go = () => {
      for (let count = 0; count < inFlight; count++) send()
      return new Promise<void>((resolve) => {
        rest = resolve
      })
    }
    socket.on("connect", send)
    socket.on("data", (chunk) => {
      const isRight = received + chunk.length <= started.length * size &&
        messages.compare(chunk, 0, chunk.length, received, received + chunk.length) === 0
      if (!isRight) {
        console.error("Something else came back than was sent")
        process.exit(1)
      }
      received += chunk.length
      for (; received >= size; received -= size) {
        record(started.shift()!)
        if (state.goesOn) send()
        else if (started.length === 0) rest()
      }
    })
  })

const echo = async ([size, inFlight]: [number, number]) => {
  const messages = repeated(size)
  const opened: Array<Promise<() => Promise<void>>> = []
  for (let index = 0; index < connections; index++) {
    // No more under way than a listener's backlog holds.
    await opened[index - 1024]
    opened.push(open(size, inFlight, messages))
  }
  const all = await Promise.all(opened)
  await runs(() => all.map((go) => go()))
}

const churn = async (): Promise<void> => {
  while (state.goesOn) {
    const since = seconds()
    const socket = dial()
    socket.on("connect", () => socket.write("x"))
    await once(socket, "data")
    record(since)
    socket.resetAndDestroy()
  }
}

/** The last connection is accepted last: once it is answered, all are. */
const idle = (left: number) => {
  const socket = dial()
  socket.on("connect", () => left > 1 ? idle(left - 1) : socket.write("x"))
  socket.on("data", () => console.log("open"))
}

const serve = () => {
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.pipe(socket).on("error", () => {})
  })
  server.listen(0, "127.0.0.1", () => console.log((server.address() as net.AddressInfo).port))
}

switch (mode) {
  case "echo": {
    await echo(rest as [number, number])
    break
  }
  case "churn": {
    await runs(() => Array.from({ length: connections }, churn))
    break
  }
  default: {
    process.stdin.on("end", () => process.exit()).resume()
    if (mode === "idle") idle(connections)
    else serve()
  }
}
