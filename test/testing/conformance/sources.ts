/**
 * What other kits check, and what of it is checked here: line by line. A line without a check says why.
 */

/** The names of checks, or why there is none. */
export type Answer = ReadonlyArray<string> | string

/** Trio, trio/testing/_check_streams.py: its checks, as they follow each other there. */
export const trio: Record<string, Answer> = {
  "1 types are SendStream and ReceiveStream": ["both ends say that they are transports"],
  "2 one byte goes through": ["one byte goes through"],
  "3 an empty send has no meaning": ["an empty write has no meaning"],
  "4 accepts bytearray": ["views of larger buffers, and subclasses of Uint8Array, are bytes as well"],
  "5 accepts memoryview": ["views of larger buffers, and subclasses of Uint8Array, are bytes as well"],
  "6 receive_some(-1)": "a pull has no size",
  "7 receive_some(0)": "a pull has no size",
  "8 receive_some(1.5)": "a pull has no size",
  "9 max_bytes may be omitted": "a pull has no size",
  "10 max_bytes may be None": "a pull has no size",
  "11 two receives at a time": [
    "a second pull at the same time dies, and the first goes on",
    "beside a forEach that waits another reader dies, and the first goes on"
  ],
  "12 with a receiver waiting, waiting for room returns": [
    "after a flush nothing is buffered, and the writer may use its buffer again"
  ],
  "13 the receiver closed, the sender breaks": ["writing to a peer that has closed fails in the end, and from then on"],
  "14 and stays broken": ["writing to a peer that has closed fails in the end, and from then on"],
  "15 receiving after close": ["a pull that waits fails when this side closes, and so does a later one"],
  "16 the receiver is closed twice more": ["close is idempotent, one after the other and at the same time"],
  "17 sending after close": ["a write that waits fails when this side closes, and so does a later one"],
  "18 also nothing": ["after close every kind of write is refused, the empty one as well"],
  "19 also waiting for room": ["a flush and a closeWrite after a close find nothing to do"],
  "20 the sender is closed twice more": ["close is idempotent, one after the other and at the same time"],
  "21 send, close, and only then receive": [
    "what was sent before a close arrives, though nobody read until then",
    "close sends everything that was accepted, and then the end"
  ],
  "22 the receiver forcefully closed, the sender breaks": [
    "writing to a peer that is gone fails in the end, and from then on"
  ],
  "23 and the receiver is closed": ["a pull that waits fails when this side aborts, and so does a later one"],
  "24 the sender forcefully closed is closed": [
    "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls"
  ],
  "25 its receiver sees the end or a failure": [
    "what comes after the peer's abort is a loss or the end: no data, no waiting"
  ],
  "26 a cancelled close of the receiver closes": [
    "an interrupted close goes on by itself",
    "an interrupted abort goes on by itself"
  ],
  "27 a cancelled close of the sender closes": ["an interrupted close goes on by itself"],
  "28 after a cancelled send and receive both close": [
    "after an interrupted write and an interrupted pull both sides close cleanly"
  ],
  "29 a local close wakes who receives": ["a pull that waits fails when this side closes, and so does a later one"],
  "30 waiting for room really waits, for the receiver": [
    "a flush waits for the peer to read",
    "a writer that waits goes on when the peer reads"
  ],
  "31 two wait for room": ["whoever waits at the same time, to write and for a flush, goes on when the peer reads"],
  "32 one waits for room, one sends": [
    "whoever waits at the same time, to write and for a flush, goes on when the peer reads"
  ],
  "33 two send": [
    "writers that wait are let in by the order of their calls",
    "writers at the same time never mix their chunks"
  ],
  "34 the receiver closes, who waits is released": ["a write that waits is released when the peer closes"],
  "35 the same, if the wait begins after it": ["writing to a peer that has closed fails in the end, and from then on"],
  "36 a local close wakes who sends": ["a write that waits fails when this side closes, and so does a later one"],
  "37 a local close wakes who waits for room": ["a flush that waits fails when the close takes too long"],
  "38 all of it with the ends flipped": "flip, for every check",
  "39 both are Streams": ["both ends say that they are transports"],
  "40 1 MiB at random each way at once": ["much goes both ways at once"],
  "41 one closes, the other sees the end and closes": ["close after the peer's end needs no waiting"],
  "42 the type is HalfCloseableStream": [
    "without a half-close, the end of one direction is the end of both, for both sides"
  ],
  "43 data and send_eof": ["the end comes after the data, and again at each later pull"],
  "44 sending after send_eof": ["a write after closeWrite fails with WriteAfterEnd and sends nothing"],
  "45 send_eof is idempotent": ["closeWrite is idempotent"],
  "46 the other direction works on, to its end": [
    "after closeWrite reading goes on",
    "after the peer's end writing goes on",
    "both directions ended is closed, with no further call"
  ],
  "47 a send and send_eof at once": ["closeWrite sends what was accepted, and refuses the write that waits"],
  "48 a wait for room and send_eof at once": ["closeWrite does not disturb a flush that waits"]
}

/** Go, golang.org/x/net/nettest: TestConn. */
export const nettest: Record<string, Answer> = {
  BasicIO: [
    "one large write reaches a slow reader whole, who holds no more than its bound",
    "a stream into a sink is an echo that ends with the peer"
  ],
  PingPong: ["ping and pong go back and forth"],
  RacyRead: ["pulls that are interrupted again and again lose no byte"],
  RacyWrite: ["writes that are interrupted again and again arrive whole and in their order, or not at all"],
  ReadTimeout: ["a pull that times out has taken nothing, and the next one goes on"],
  WriteTimeout: ["a write that times out has sent nothing, and the next one goes on"],
  PastTimeout: ["what is interrupted before it begins does nothing"],
  PresentTimeout: [
    "an interrupted pull loses no byte",
    "an interrupted write that waited takes back its own chunk, and only that"
  ],
  FutureTimeout: [
    "a pull that times out has taken nothing, and the next one goes on",
    "a write that times out has sent nothing, and the next one goes on"
  ],
  CloseTimeout: [
    "a pull that waits fails when this side closes, and so does a later one",
    "a write that waits fails when this side closes, and so does a later one"
  ],
  ConcurrentMethods: ["all members may be used at the same time, again and again"]
}

/** Twisted, what its tests and the bugs of its users say of a transport. */
export const twisted: Record<string, Answer> = {
  "A1 addresses": ["each side's local address is the other side's remote address", "addresses stay after the end"],
  "A8 no byte before the handler asks for it": ["no byte is taken before the first pull"],
  "B1 a large write, one more byte, a close": [
    "a large write, one more byte while it is under way, and a close: all of it arrives"
  ],
  "B6 a thousand writes after the loss": ["a thousand writes after a loss fail one by one, and harm nobody"],
  "B7 the peer is gone while nobody reads": ["writing to a peer that is gone fails in the end, and from then on"],
  "B10 pausing and resuming": ["a reader that rests again and again gets everything in its order"],
  "C1 close flushes": ["close sends everything that was accepted, and then the end"],
  "C3 no input after close": [
    "input that was not pulled is given up by close",
    "a pull that waits fails when this side closes, and so does a later one"
  ],
  "C6 data and a reset in one": ["data and then a reset is no clean end"],
  "C8 abort from within the data handler": [
    "abort from within forEach ends it, and nothing that is written after it is sent"
  ],
  "C9 abort twice, and then close": ["abort is idempotent, and a close after it changes nothing"],
  "C13 an exception in the data handler": [
    "a failure within forEach ends it, a throw is a defect, and the rest is there for the next reader",
    "a Scope that ends with a failure aborts"
  ],
  "C15 half-close": [
    "after closeWrite reading goes on",
    "a write after closeWrite fails with WriteAfterEnd and sends nothing"
  ],
  "C17 much is sent after the peer's half-close": ["after the peer's end writing goes on"],
  "C18 what is pending when a handler is done": ["a Scope that ends with success sends what was accepted"],
  "C19 both half-close, and then close": ["close after both directions have ended changes nothing"],
  "C27 close towards a peer that never reads": [
    "a close that takes longer than closeTimeout aborts, and tells what is unsent"
  ],
  "C30 the descriptor is released": "the host knows: looked at around each check, over TCP, UNIX and Duplex",
  "C31 nothing is retained": ["nothing is left of a pair that was used: no fiber, no timer, nobody who waits"],
  "D1 a source is paused and resumed": [
    "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
    "a writer that waits goes on when the peer reads"
  ],
  "D5 a second source": ["writers at the same time never mix their chunks"],
  "D7 close with a source": ["a write that waits fails when this side closes, and so does a later one"],
  "D12 a relay is bounded": ["an echo by forEach reads no further than its peer reads what comes back"],
  "D17 a slow consumer holds the peer back": ["reading ahead of the consumer is bounded"]
}

/** What Trio's kit does not look at. */
export const missing: Record<string, Answer> = {
  "a reset is not an end": ["a reset is not taken for an end", "data and then a reset is no clean end"],
  "interruption during a partly accepted write": [
    "an interrupted writeAll takes back what was not accepted",
    "an interrupted flush changes nothing"
  ],
  "counters after a failure": [
    "a loss tells what was read, written and left unsent",
    "the counters stay as they were when it ended"
  ],
  "8 MiB at once to a slow reader, in bounds": [
    "one large write reaches a slow reader whole, who holds no more than its bound"
  ],
  "the end while a write waits": ["the peer's end does not disturb a write that waits"],
  "ten thousand tiny writes": ["ten thousand tiny writes arrive whole"],
  "close with unread data": ["close with unread input loses nothing of what was sent"],
  "addresses after close": ["addresses stay after the end"],
  "a Scope closed twice, and by another fiber": [
    "a Scope that is closed by two fibers, and then once more, closes once"
  ],
  "nothing is left after each check": ["nothing is left of a pair that was used: no fiber, no timer, nobody who waits"]
}
