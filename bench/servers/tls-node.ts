/** node:tls alone, as its documentation has it: what the others are compared with. Or over a Duplex of its own. */
import * as net from "node:net"
import { Duplex } from "node:stream"
import * as tls from "node:tls"
import { certificate, key, kind } from "./identity.ts"
import { options } from "./listening.ts"

/** Hands all to the socket, and gives all that comes. */
class Bridge extends Duplex {
  private readonly socket: net.Socket

  constructor(socket: net.Socket) {
    super({ allowHalfOpen: true })
    this.socket = socket
    socket.on("data", (chunk) => this.push(chunk) || socket.pause())
    socket.on("end", () => this.push(null)).on("close", () => this.destroy()).on("error", () => {})
  }

  override _read() {
    this.socket.resume()
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: () => void) {
    if (this.socket.write(chunk)) done()
    else this.socket.once("drain", done)
  }

  override _final(done: () => void) {
    this.socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void) {
    this.socket.destroy()
    done(error)
  }
}

const echo = (socket: tls.TLSSocket) => {
  socket.on("data", (chunk) => {
    if (socket.write(chunk)) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
  socket.on("error", () => {})
}

const identity = { cert: certificate, key }
const listening = function(this: net.Server) {
  console.log((this.address() as net.AddressInfo).port)
}

const secured = tls.createServer({ ...identity, noDelay: options.noDelay }, echo).on("tlsClientError", () => {})
if (kind === "duplex") {
  net.createServer({ noDelay: options.noDelay }, (socket) => secured.emit("connection", new Bridge(socket)))
    .listen(options, listening)
} else {
  secured.listen(options, listening)
}
