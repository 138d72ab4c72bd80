/**
 * Where the tests have their keys and certificates: gone when all of them are over. A worker of vitest is ended by a signal,
 * and hears of no `exit` by which it could remove its own.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

/** Of the process that runs the workers, and so of theirs. */
export const variable = "TEST_CERTIFICATES"

const setup = () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "certificates-"))
  process.env[variable] = directory
  return () => fs.rmSync(directory, { recursive: true, force: true })
}

export default setup
