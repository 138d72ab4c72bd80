/** What is done with the servers. */

/** Each message back; back as small writes; back line by line; to another server and back. */
export type Service = "echo" | "pieces" | "lines" | "relay"

export interface Workload {
  readonly key: string
  readonly title: string
  readonly detail: string
  /** Of its figure. */
  readonly unit: "msg/s" | "conn/s" | "KiB each"
  readonly service: Service
  /** What `load` is asked for, without the port. */
  readonly load: readonly [
    mode: "echo" | "tls" | "churn" | "idle",
    connections: number,
    ...sizeAndInFlight: Array<number>
  ]
}

export const all = (idleConnections: number): ReadonlyArray<Workload> => [
  {
    key: "echo",
    title: "Echo",
    detail: "64 connections, 64 B, 1 in flight each",
    unit: "msg/s",
    service: "echo",
    load: ["echo", 64, 64, 1]
  },
  {
    key: "ping-pong",
    title: "Ping-pong",
    detail: "1 connection, 64 B, 1 in flight",
    unit: "msg/s",
    service: "echo",
    load: ["echo", 1, 64, 1]
  },
  {
    key: "bulk",
    title: "Bulk",
    detail: "4 connections, 64 KiB, 4 in flight each",
    unit: "msg/s",
    service: "echo",
    load: ["echo", 4, 65536, 4]
  },
  {
    key: "writes",
    title: "Small writes",
    detail: "1 KiB answered with 16 writes of 64 B, 64 connections, 1 in flight each",
    unit: "msg/s",
    service: "pieces",
    load: ["echo", 64, 1024, 1]
  },
  {
    key: "lines",
    title: "Lines",
    detail: "echo line by line, 16 connections, lines of 64 B, 16 in flight each",
    unit: "msg/s",
    service: "lines",
    load: ["echo", 16, 64, 16]
  },
  {
    key: "churn",
    title: "Churn",
    detail: "connect, 1 byte, back, reset; 64 at a time",
    unit: "conn/s",
    service: "echo",
    load: ["churn", 64]
  },
  {
    key: "idle",
    title: "Memory",
    detail: `${idleConnections} idle connections`,
    unit: "KiB each",
    service: "echo",
    load: ["idle", idleConnections]
  },
  {
    key: "relay",
    title: "Relay",
    detail: "to an echo server and back, 4 connections, 64 KiB, 4 in flight each",
    unit: "msg/s",
    service: "relay",
    load: ["echo", 4, 65536, 4]
  }
]

export const tls: ReadonlyArray<Workload> = [
  {
    key: "echo",
    title: "Echo over TLS",
    detail: "64 connections, 64 B, 1 in flight each",
    unit: "msg/s",
    service: "echo",
    load: ["tls", 64, 64, 1]
  },
  {
    key: "bulk",
    title: "Bulk over TLS",
    detail: "4 connections, 64 KiB, 4 in flight each",
    unit: "msg/s",
    service: "echo",
    load: ["tls", 4, 65536, 4]
  }
]
