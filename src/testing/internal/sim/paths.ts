/**
 * Connections as the network between their ends sees them.
 *
 * @internal
 */
import type { Host } from "./host.ts"
import type { Ending } from "./rulebook.ts"
import type { Segment } from "./segment.ts"
import { lengthOf, tuple } from "./segment.ts"

/** One direction of a connection. */
export interface Flow {
  /** The sequence number of the first byte. */
  readonly first: number
  /** What the receiver expects next, once all that is under way has arrived. */
  next: number
  /** What has passed behind something that was lost. */
  readonly early: Set<Segment>
  /** The end of the direction has passed, with all that is before it. */
  ended: boolean
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
  severed: Ending | undefined
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
    flow = { first, next: first, early: new Set(), ended: false, lastArrival: 0, seen: new Map() }
    path.flows.set(key, flow)
  }
  return flow
}

/** The segment has passed. One behind a gap counts when the gap is filled. */
export const advance = (flow: Flow, segment: Segment): void => {
  if (lengthOf(segment) === 0) return
  flow.early.add(segment)
  if (segment.sequence > flow.next) return
  for (let following = followingOf(flow); following !== undefined; following = followingOf(flow)) {
    flow.early.delete(following)
    const end = following.sequence + lengthOf(following)
    if (end <= flow.next) continue
    flow.next = end
    flow.ended = following.fin === true
  }
}

const followingOf = (flow: Flow): Segment | undefined => {
  for (const segment of flow.early) if (segment.sequence <= flow.next) return segment
  return undefined
}

/** Bytes that have passed, and none before them is missing. */
export const passedOf = (flow: Flow): number => flow.next - flow.first - (flow.ended ? 1 : 0)
