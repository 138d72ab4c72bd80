/**
 * The load of `load.c` on node:net, for machines without a C compiler: same arguments, same answers. It costs about what
 * the servers cost, so with it the fastest of them are held back.
 */
import * as net from "node:net"
import { setTimeout } from "node:timers/promises"

const rampSeconds = 0.2
const seconds = () => performance.now() / 1000

const [mode, port, connections, ...rest] = process.argv.slice(2).map((argument, index) =>
  index === 0 ? argument : Number(argument)
) as [string, number, number, ...Array<number>]

const dial = () => net.connect({ port, host: "127.0.0.1", noDelay: true }).on("error", () => process.exit(1))

// -----------------------------------------------------------------------------
// what is measured
// -----------------------------------------------------------------------------

let latencies: Array<number> | undefined = undefined

const record = (since: number) => latencies?.push(seconds() - since)

const report = (all: ReadonlyArray<number>, duration: number) => {
  if (all.length === 0) throw new Error("nothing came back")
  const sorted = Float64Array.from(all).toSorted()
  const percentile = (share: number) => Math.floor(sorted[Math.floor(share * (sorted.length - 1))]! * 1e6)
  const rate = all.length / duration
  console.log(JSON.stringify({ rate, p50: percentile(0.5), p99: percentile(0.99), count: all.length }))
}

const ramp = () => setTimeout(rampSeconds * 1000)

const measure = async (duration: number) => {
  console.log("measuring")
  const all: Array<number> = latencies = []
  const start = seconds()
  await setTimeout(duration * 1000)
  report(all, seconds() - start)
  latencies = undefined
}

// -----------------------------------------------------------------------------
// the loads
// -----------------------------------------------------------------------------

/**
 * Opens a connection and has one message of it answered, so that it is accepted. Then it rests, and completes with what
 * sets it going: Node accepts one connection each time around its loop, traffic would keep it from the others.
 */
const open = (size: number, inFlight: number) =>
  new Promise<() => void>((resolve) => {
    const message = Buffer.alloc(size, "x")
    message.write("\n", size - 1)
    const socket = dial()
    const started: Array<number> = []
    let received = 0
    let going = false
    const send = () => {
      started.push(seconds())
      socket.write(message)
    }
    const go = () => {
      going = true
      for (let count = 0; count < inFlight; count++) send()
    }
    socket.on("connect", send)
    socket.on("data", (chunk) => {
      received += chunk.length
      for (; received >= size; received -= size) {
        record(started.shift()!)
        if (going) send()
        else resolve(go)
      }
    })
  })

const echo = async ([size, inFlight, duration]: [number, number, number]) => {
  const opened: Array<Promise<() => void>> = []
  for (let index = 0; index < connections; index++) {
    // No more under way than a listener's backlog holds.
    await opened[index - 1024]
    opened.push(open(size, inFlight))
  }
  for (const go of await Promise.all(opened)) go()
  await ramp()
  await measure(duration)
}

const churn = () => {
  const since = seconds()
  const socket = dial()
  socket.on("connect", () => socket.write("x"))
  socket.on("data", () => {
    record(since)
    socket.resetAndDestroy()
    churn()
  })
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

process.stdin.on("end", () => process.exit()).resume()
switch (mode) {
  case "echo": {
    await echo(rest as [number, number, number])
    break
  }
  case "churn": {
    for (let index = 0; index < connections; index++) churn()
    await ramp()
    await measure(rest[0]!)
    break
  }
  case "idle": {
    idle(connections)
    break
  }
  default:
    serve()
}
