/** node:net and lines as one writes them at first: strings that are split, a write for each line. */
import * as net from "node:net"
import { options } from "./listening.ts"

const server = net.createServer({ noDelay: options.noDelay }, (socket) => {
  let rest = ""
  socket.setEncoding("utf8")
  socket.on("data", (text: string) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop()!
    let hasRoom = true
    for (const line of lines) hasRoom = socket.write(`${line}\n`)
    if (hasRoom) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
  socket.on("error", () => {})
})
server.listen(options, () => console.log((server.address() as net.AddressInfo).port))
