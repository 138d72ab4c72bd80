/**
 * The sockets that a service manager has passed to a process, sd_listen_fds(3).
 *
 * @internal
 */
import * as fs from "node:fs"

/** SD_LISTEN_FDS_START of sd_listen_fds(3). */
export const firstDescriptor = 3

const isCount = (text: string | undefined): boolean => text !== undefined && /^[1-9]\d*$/.test(text)

/** How many there should be, if they are for this process. */
export const countFor = (pid: number): number => {
  const { LISTEN_FDS, LISTEN_PID } = process.env
  return LISTEN_PID === `${pid}` && isCount(LISTEN_FDS) ? Number(LISTEN_FDS) : 0
}

/** Sockets of this process by their descriptors: each has a number of its own. */
export type Sockets = ReadonlyMap<number, number>

const socketAt = (descriptor: number): number | undefined => {
  try {
    const stats = fs.fstatSync(descriptor)
    return stats.isSocket() ? stats.ino : undefined
  } catch {
    return undefined
  }
}

/** Those that were passed to this process. */
export const passed = (): Sockets => {
  const sockets = new Map<number, number>()
  const count = countFor(process.pid)
  for (let index = 0; index < count; index++) {
    const socket = socketAt(firstDescriptor + index)
    if (socket === undefined) break
    sockets.set(firstDescriptor + index, socket)
  }
  return sockets
}

/** One of them was closed; the descriptor may be another one's by now. */
export const isLost = (sockets: Sockets): boolean =>
  Array.from(sockets).some(([descriptor, socket]) => socketAt(descriptor) !== socket)
