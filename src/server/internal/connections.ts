/**
 * The connections of a server that are open, and the counts of those that were.
 *
 * @internal
 */
import * as Metric from "effect/Metric"
import type * as MetricLabel from "effect/MetricLabel"
import type { Member } from "../../internal/members.ts"
import { Members } from "../../internal/members.ts"
import { tally } from "../../internal/tally.ts"
import { peerOf } from "../../policy/ConnectionLimit.ts"
import type { Transport } from "../../Transport.ts"
import type { Outcome, ServerReport, SlowConsumer } from "../Server.ts"
import type { Life } from "./life.ts"

const openConnections = Metric.gauge("effect_transport_connections", {
  description: "Connections of servers that are open now"
})

const allConnections = Metric.counter("effect_transport_connections_total", {
  description: "Connections of servers that are over, by outcome",
  incremental: true
})

const outcomes = {
  refused: Metric.tagged(allConnections, "outcome", "refused"),
  completed: Metric.tagged(allConnections, "outcome", "completed"),
  failed: Metric.tagged(allConnections, "outcome", "failed"),
  drained: Metric.tagged(allConnections, "outcome", "drained"),
  aborted: Metric.tagged(allConnections, "outcome", "aborted")
}

/** One connection, from its acceptance until nothing of it is left. */
export interface Connection extends Member {
  readonly life: Life
  readonly transport: Transport
  /** Counts for the limits. */
  readonly served: boolean
  /** By the Clock, where somebody wants to know. */
  readonly openedAt: number
  /** Ends its handler, while that is under way. Not written where it is assigned, see `Driver.ts`, where functions are made. */
  interrupt: (() => void) | undefined
  /** Why the server has ended it. */
  ending: "drained" | "aborted" | SlowConsumer | undefined
}

export class Connections {
  serving = 0
  private readonly labels: ReadonlyArray<MetricLabel.MetricLabel>
  /** Calls back whenever one is over. */
  private readonly changed: () => void
  private readonly open = new Members<Connection>()
  private readonly counts = { accepted: 0, refused: 0, completed: 0, failed: 0, drained: 0, aborted: 0 }
  /** How many of each peer are served, while that matters to anybody. */
  private peers: Map<string, number> | undefined = undefined

  constructor(labels: ReadonlyArray<MetricLabel.MetricLabel>, changed: () => void) {
    this.labels = labels
    this.changed = changed
  }

  get size(): number {
    return this.open.size
  }

  /** Those that are open now: whoever goes through them may end them. */
  all(): ReadonlyArray<Connection> {
    return this.open.all()
  }

  report(): ServerReport {
    return { ...this.counts }
  }

  add(life: Life, transport: Transport, served: boolean, openedAt: number): Connection {
    const connection: Connection = {
      life,
      transport,
      served,
      openedAt,
      interrupt: undefined,
      ending: undefined,
      place: 0
    }
    this.open.add(connection)
    this.counts.accepted++
    if (served) {
      this.serving++
      if (this.peers !== undefined) tally(this.peers, peerOf(transport.remoteAddress), 1)
    }
    openConnections.unsafeModify(1, this.labels)
    return connection
  }

  /** Nothing of it is left. */
  settle(connection: Connection, outcome: Outcome): void {
    this.open.remove(connection)
    this.counts[outcome]++
    if (connection.served) {
      this.serving--
      if (this.peers !== undefined) tally(this.peers, peerOf(connection.transport.remoteAddress), -1)
    }
    outcomes[outcome].unsafeUpdate(1, this.labels)
    openConnections.unsafeModify(-1, this.labels)
    this.changed()
  }

  /** How many of the transport's peer are served. Who never asks does not pay for the count. */
  ofPeer(transport: Transport): number {
    const peers = this.peers ??= this.countPeers()
    const peer = peerOf(transport.remoteAddress)
    return peer === undefined ? 0 : peers.get(peer) ?? 0
  }

  private countPeers(): Map<string, number> {
    const peers = new Map<string, number>()
    for (const { served, transport } of this.open.all()) if (served) tally(peers, peerOf(transport.remoteAddress), 1)
    return peers
  }
}
