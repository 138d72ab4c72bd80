/** Echo on node:net alone, as its documentation has it: what all others are compared with. */
import * as net from "node:net"
import { announce, listenOptions } from "./control.ts"

const server = net.createServer({ noDelay: listenOptions.noDelay }, (socket) => {
  socket.on("data", (chunk) => {
    if (socket.write(chunk)) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
  socket.on("error", () => {})
})
server.listen(listenOptions, () => announce((server.address() as net.AddressInfo).port))
