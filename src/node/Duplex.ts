/**
 * Any Node `Duplex` of bytes as a transport: a child's pipes, a TLS socket, an SSH channel, a stream of a test.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as stream from "node:stream"
import * as Address from "../Address.ts"
import type { SystemFailure } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import type * as Transport from "../Transport.ts"
import { Batches } from "./internal/batches.ts"
import { StreamDriver } from "./internal/streamDriver.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface FromOptions extends Transport.Limits {
  /** What `localAddress` says: a `PipeAddress` named `local`. */
  readonly localAddress?: Address.Address | undefined
  /** What `remoteAddress` says: a `PipeAddress` named `duplex`. */
  readonly remoteAddress?: Address.Address | undefined
}

class DuplexDriver extends StreamDriver<stream.Duplex> implements Driver.Driver {
  private readonly batches = new Batches(this.stream, (bytes) => {
    this.events.turned()
    this.events.written(bytes)
  })

  write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    return this.batches.write(chunks, bytes)
  }
}

/**
 * Takes over a Duplex: from here on nobody else reads, writes or ends it. The transport is tied to the Scope.
 *
 * Half-close works if the stream was made with `allowHalfOpen` (the default of `Duplex`, not of `net.Socket`). A stream
 * has no reset: `abort` destroys it. A stream that closes without having ended is a `ConnectionReset`; what its error says
 * decides otherwise. A stream in object mode, or that is destroyed already, is a bug in the caller and dies.
 *
 * @since 0.1.0
 * @category constructors
 */
export const from = (
  duplex: stream.Duplex,
  options: FromOptions = {}
): Effect.Effect<Transport.Transport, never, Scope.Scope> =>
  Effect.suspend(() => {
    if (duplex.readableObjectMode || duplex.writableObjectMode) {
      throw new TypeError("A transport carries bytes, and this Duplex is in object mode")
    }
    if (duplex.destroyed) throw new TypeError("This Duplex is destroyed already")
    duplex.pause()
    return Driver.open({
      driver: (events: Driver.Events<SystemFailure>) => new DuplexDriver(duplex, events),
      localAddress: options.localAddress ?? Address.pipe("local"),
      remoteAddress: options.remoteAddress ?? Address.pipe("duplex"),
      options: undefined,
      handle: duplex,
      limits: Driver.resolveLimits(options)
    })
  })
