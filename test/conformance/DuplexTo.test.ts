import { conformsThrough } from "../support/conforms.ts"
import { viaDuplex } from "../support/viaDuplex.ts"

conformsThrough("a transport as a Duplex, and back", viaDuplex, {
  alike: true,
  capabilities: { noDelay: false, keepAlive: false }
})
