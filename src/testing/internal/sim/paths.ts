/**
 * Connections as the network between their ends sees them.
 *
 * @internal
 */
import type { Host } from "./host.ts"
import type { Segment } from "./segment.ts"
import { tuple } from "./segment.ts"

/** One direction of a connection. */
export interface Flow {
  /** The sequence number of the first byte. */
  readonly first: number
  /** What the receiver expects next, once all that is under way has arrived. */
  next: number
  /** Nothing arrives before this: packets of a flow do not overtake each other. */
  lastArrival: number
  /** When a rule that counts time has seen it first. */
  readonly seen: Map<object, number>
}

interface End {
  readonly host: Host
  readonly address: Segment["source"]
}

/** What stands between the two ends of a connection attempt, and of the connection that becomes of it. */
export interface Path {
  /** Which attempt of the simulation it is: 1 is the first. */
  readonly index: number
  readonly key: string
  readonly client: End
  readonly server: End
  readonly flows: Map<string, Flow>
  /** A rule has cut it: from now on it is answered in the place of its ends. */
  severed: "reset" | "closed" | undefined
}

export class Paths {
  private attempts = 0
  private readonly paths = new Map<string, Path>()

  /** The one that the segment is on; a new one for a new attempt. */
  of(from: Host, to: Host, segment: Segment): Path | undefined {
    const { destination, source } = segment
    // Addresses of loopback are every host's.
    const scope = from === to ? `${from.name}|` : ""
    const key = scope + tuple(source, destination)
    if (!segment.syn || segment.ack) return this.paths.get(key) ?? this.paths.get(scope + tuple(destination, source))
    const known = this.paths.get(key)
    // The same attempt again.
    if (known?.flows.get(tuple(source, destination))?.first === segment.sequence + 1) return known
    const path: Path = {
      index: ++this.attempts,
      key,
      client: { host: from, address: source },
      server: { host: to, address: destination },
      flows: new Map(),
      severed: undefined
    }
    this.paths.set(key, path)
    return path
  }

  /** Its addresses and ports were not used again since. */
  isCurrent(path: Path): boolean {
    return this.paths.get(path.key) === path
  }
}

/** The direction of the segment. */
export const flowOf = (path: Path, segment: Segment): Flow => {
  const key = tuple(segment.source, segment.destination)
  let flow = path.flows.get(key)
  if (flow === undefined) {
    const first = segment.sequence + (segment.syn ? 1 : 0)
    flow = { first, next: first, lastArrival: 0, seen: new Map() }
    path.flows.set(key, flow)
  }
  return flow
}
