/**
 * What happened in a simulation: the latest of it, and a fingerprint of all.
 *
 * @internal
 */
import type { TraceEvent } from "../../Trace.ts"

export class History {
  /** Of everything that was ever noted, also of what is not kept (FNV-1a). */
  fingerprint = 0x811c9dc5
  private readonly events: Array<TraceEvent> = []
  private readonly limit: number

  constructor(limit: number) {
    this.limit = limit
  }

  get latest(): ReadonlyArray<TraceEvent> {
    return this.events.slice(-this.limit)
  }

  note(event: TraceEvent): void {
    const line = lineOf(event)
    let hash = this.fingerprint
    for (let at = 0; at < line.length; at++) hash = Math.imul(hash ^ line.charCodeAt(at), 0x01000193)
    this.fingerprint = hash >>> 0
    this.events.push(event)
    // Cut now and then, not for each: it costs what is kept.
    if (this.events.length > 2 * this.limit) this.events.splice(0, this.events.length - this.limit)
  }
}

const lineOf = (event: TraceEvent): string => {
  switch (event._tag) {
    case "Segment": {
      const { ack, acknowledgement, arrives, at, destination, fate, fin, payload, rst, sequence, source, syn } = event
      const ends = `${source.host} ${source.port} ${destination.host} ${destination.port}`
      const numbers = `${sequence} ${acknowledgement} ${event.window} ${payload.length}`
      return `${at} ${arrives} ${fate} ${ends} ${syn} ${ack} ${fin} ${rst} ${numbers}`
    }
    case "LookUp":
      return `${event.at} ${event.host} ${event.name} ${event.answer}`
    default:
      return `${event.at} ${event._tag} ${event.host}`
  }
}
