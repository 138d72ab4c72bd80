/** The header of a record: its type, a version, and the length of what follows in two bytes (RFC 8446 §5.1). */
const headerLength = 5

/**
 * Finds where the records of TLS end in a stream of bytes, without a look into them.
 *
 * @internal
 */
export class TlsRecords {
  /** Bytes of the current header that were seen. */
  private seen = 0
  /** Bytes of the current record that are still to come behind its header. */
  private left = 0

  /** How many of the next bytes, of which there is at least one, belong to one record: all, or up to its end. */
  take(bytes: Uint8Array): number {
    let taken = 0
    for (; this.seen < headerLength && taken < bytes.length; this.seen++) {
      const byte = bytes[taken++]!
      if (this.seen === 3) this.left = byte << 8
      else if (this.seen === 4) this.left |= byte
    }
    if (this.seen < headerLength) return taken
    const part = Math.min(this.left, bytes.length - taken)
    this.left -= part
    if (this.left === 0) this.seen = 0
    return taken + part
  }
}
