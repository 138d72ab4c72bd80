/**
 * The life of a connection as a table. Rule: everything that changes the state stands in this table, and only here.
 *
 * A connection is two directions that end one by one, and a carrier that is let go when both have ended. `close` and
 * `abort` are this side's wishes; `peerEnded`, `writeFinished`, `failed` and `released` are what the driver reports.
 * An event that a state does not list is ignored there: a second close, a failure after the end, a late timer.
 * Actions run in their order, and each may bring the next event with it, so those that can do that stand last.
 *
 * @internal
 */

export type State =
  /** Both directions are in use. */
  | "open"
  /** The peer has ended its writing; this side goes on. */
  | "readEnded"
  /** This side has asked to end its writing, what it wrote is still being sent. */
  | "writeEnding"
  /** This side's end is out; the peer goes on. */
  | "writeEnded"
  /** The peer has ended, and this side's end is on its way. */
  | "bothEnding"
  /** Closing: input is discarded, what was written is still being sent, the peer has not ended. */
  | "closing"
  /** Closing: this side's end is out, input is discarded until the peer ends or the linger time is over. */
  | "lingering"
  /** Both directions have ended: the carrier is being released. */
  | "releasing"
  /** Lost or aborted, or aborted while it was being released: the carrier is being torn down. */
  | "resetting"
  /** Nothing is left. */
  | "closed"

export type Event =
  | "peerEnded"
  | "writeFinished"
  | "closeWrite"
  | "close"
  | "abort"
  | "failed"
  | "lingerExpired"
  | "closeExpired"
  | "released"

export type Action =
  /** No writes any more: those that wait fail, an end follows the last accepted byte. */
  | "endWrite"
  /** No input any more: a waiting reader fails, what still arrives is read and dropped. */
  | "discardInput"
  /** Start the clock for the whole close. */
  | "armClose"
  /** Start the clock for the peer's end. */
  | "armLinger"
  /** Let go of the carrier, in order. */
  | "release"
  /** Drop what is buffered, fail who waits, tear the carrier down. */
  | "reset"
  /** Tell everybody that it is over. */
  | "settle"

export type Step = readonly [next: State, ...actions: ReadonlyArray<Action>]

const tornDown: { readonly abort: Step; readonly failed: Step } = {
  abort: ["resetting", "reset"],
  failed: ["resetting", "reset"]
}

export const transitions: { readonly [S in State]: { readonly [E in Event]?: Step } } = {
  open: {
    ...tornDown,
    peerEnded: ["readEnded"],
    closeWrite: ["writeEnding", "endWrite"],
    close: ["closing", "armClose", "discardInput", "endWrite"]
  },
  readEnded: {
    ...tornDown,
    closeWrite: ["bothEnding", "endWrite"],
    close: ["bothEnding", "armClose", "discardInput", "endWrite"]
  },
  writeEnding: {
    ...tornDown,
    peerEnded: ["bothEnding"],
    writeFinished: ["writeEnded"],
    close: ["closing", "armClose", "discardInput"]
  },
  writeEnded: {
    ...tornDown,
    peerEnded: ["releasing", "release"],
    close: ["lingering", "armLinger", "discardInput"]
  },
  bothEnding: {
    ...tornDown,
    writeFinished: ["releasing", "release"],
    close: ["bothEnding", "armClose", "discardInput"],
    closeExpired: ["resetting", "reset"]
  },
  closing: {
    ...tornDown,
    peerEnded: ["bothEnding"],
    writeFinished: ["lingering", "armLinger"],
    closeExpired: ["resetting", "reset"]
  },
  lingering: {
    ...tornDown,
    peerEnded: ["releasing", "release"],
    lingerExpired: ["releasing", "release"]
  },
  releasing: {
    // Both ends are out and in, or were waited for: nothing is lost any more. But a carrier that is a transport may have its
    // own peer to wait for.
    abort: ["resetting", "reset"],
    released: ["closed", "settle"]
  },
  resetting: {
    released: ["closed", "settle"]
  },
  closed: {}
}
