/**
 * node:net alone, as its documentation has it: what all others are compared with. Lines are bytes for it, which go back as
 * they come.
 */
import * as net from "node:net"
import { pipeline } from "node:stream"
import { options, pieces, service, upstream } from "./listening.ts"

const echo = (socket: net.Socket) => {
  socket.on("data", (chunk) => {
    if (socket.write(chunk)) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
  socket.on("error", () => {})
}

const inPieces = (socket: net.Socket) => {
  socket.on("data", (chunk) => {
    let hasRoom = true
    for (const piece of pieces(chunk)) hasRoom = socket.write(piece)
    if (hasRoom) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
  socket.on("error", () => {})
}

const relay = (socket: net.Socket) => {
  const other = net.connect({ ...upstream, noDelay: true, allowHalfOpen: true })
  pipeline(socket, other, () => {})
  pipeline(other, socket, () => {})
}

const server = net.createServer(
  { noDelay: options.noDelay, allowHalfOpen: service === "relay" },
  { echo, pieces: inPieces, lines: echo, relay }[service]
)
server.listen(options, () => console.log((server.address() as net.AddressInfo).port))
