/**
 * Where a fiber waits to be called. A call carries nothing, and none is missed, also when it comes before the fiber waits:
 * the fiber looks again what there is to do.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { async } from "./async.ts"

export class Bell {
  private rung = false
  private waiting: (() => void) | undefined = undefined

  readonly await: Effect.Effect<void> = async<void>((resume) => {
    this.waiting = () => resume(Effect.void)
    if (this.rung) this.ring()
    return () => {
      this.waiting = undefined
    }
  })

  readonly ring = (): void => {
    const { waiting } = this
    this.waiting = undefined
    this.rung = waiting === undefined
    waiting?.()
  }
}
