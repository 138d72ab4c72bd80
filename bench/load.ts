/**
 * The load of `load.c` on node:net, for machines without a C compiler: same arguments, same answers. It costs about what
 * the servers cost, so with it the fastest of them are held back.
 */
import * as net from "node:net"

const rampSeconds = 0.2
const seconds = () => performance.now() / 1000

const [mode, port, connections, ...rest] = process.argv.slice(2).map((argument, index) =>
  index === 0 ? argument : Number(argument)
) as [string, number, number, ...Array<number>]

const dial = () => net.connect({ port, host: "127.0.0.1", noDelay: true }).on("error", () => process.exit(1))

// -----------------------------------------------------------------------------
// what is measured
// -----------------------------------------------------------------------------

let latencies: Array<number> = []
let start = 0
let total = 0

const record = (since: number) => {
  total++
  latencies.push(seconds() - since)
}

const measure = (duration: number) => {
  setTimeout(() => {
    start = seconds()
    latencies = []
  }, rampSeconds * 1000)
  setTimeout(() => {
    if (latencies.length === 0) throw new Error("nothing came back")
    const rate = latencies.length / (seconds() - start)
    const sorted = Float64Array.from(latencies).toSorted()
    const percentile = (share: number) => Math.floor(sorted[Math.floor(share * (sorted.length - 1))]! * 1e6)
    console.log(JSON.stringify({ rate, p50: percentile(0.5), p99: percentile(0.99), total }))
    process.exit()
  }, (rampSeconds + duration) * 1000)
}

// -----------------------------------------------------------------------------
// the three loads
// -----------------------------------------------------------------------------

const echo = (size: number, inFlight: number) => {
  const message = Buffer.alloc(size)
  for (let index = 0; index < connections; index++) {
    const socket = dial()
    const started: Array<number> = []
    let received = 0
    const send = () => {
      started.push(seconds())
      socket.write(message)
    }
    socket.on("connect", () => {
      for (let count = 0; count < inFlight; count++) send()
    })
    socket.on("data", (chunk) => {
      received += chunk.length
      for (; received >= size; received -= size) {
        record(started.shift()!)
        send()
      }
    })
  }
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
  socket.on("data", () => console.log(JSON.stringify({ open: connections })))
}

switch (mode) {
  case "echo": {
    const [size, inFlight, duration] = rest as [number, number, number]
    echo(size, inFlight)
    measure(duration)
    break
  }
  case "churn": {
    for (let index = 0; index < connections; index++) churn()
    measure(rest[0]!)
    break
  }
  default:
    idle(connections)
    process.stdin.on("end", () => process.exit()).resume()
}
