/** The certificate and its key, whose files the benchmark names. */
import * as fs from "node:fs"

const [certificate, key] = process.argv.slice(3, 5).map((file) => fs.readFileSync(file, "utf8")) as [string, string]

export { certificate, key }

/** The rest of the command line. */
export const kind = process.argv[5]
