/** Eight clients on node:net that send again what comes back: so much is always on its way that the server has no rest. */
import * as net from "node:net"

const port = Number(process.argv[1])
const inFlight = Buffer.alloc(256 * 1024)

let echoed = 0
for (let index = 0; index < 8; index++) {
  const socket = net.connect({ host: "127.0.0.1", port }, () => socket.write(inFlight))
  socket.on("data", (chunk) => socket.write(chunk))
  socket.on("error", () => process.exit())
  // Once each of them has had an answer, all are at work.
  socket.once("data", () => ++echoed === 8 && process.send!("busy"))
}
process.on("disconnect", () => process.exit())
