/** Keys and certificates, made by openssl when a test asks for them: none is kept. */
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Identity } from "../../src/node/Tls.ts"
import { variable } from "./certificatesDirectory.ts"

export interface Issued extends Identity {
  readonly certificate: string
  readonly privateKey: string
  /** The files, for other programs. */
  readonly files: { readonly certificate: string; readonly privateKey: string }
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

/** A certification authority that has just been founded, in a directory of its own. */
export class Authority {
  readonly root: Issued
  private readonly directory: string
  private issued = 0

  constructor(name: string) {
    this.directory = fs.mkdtempSync(path.join(process.env[variable]!, "authority-"))
    this.openssl("req", "-x509", ...newKey, "-keyout", "root.key", "-out", "root.pem", "-subj", `/CN=${name}`)
    this.root = this.read("root")
  }

  /** For these names (`DNS:localhost`), valid for so many days from now: for a week. */
  issue(subject: string, names: ReadonlyArray<string> = [], days = 7): Issued {
    const name = `issued${this.issued++}`
    this.openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${subject}`)
    const extensions = names.length === 0 ? "" : `subjectAltName=${names.join(",")}\n`
    fs.writeFileSync(path.join(this.directory, `${name}.ext`), extensions)
    const ca = ["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"]
    const signed = ["-extfile", `${name}.ext`, "-days", `${days}`, "-out", `${name}.pem`]
    this.openssl("x509", "-req", "-in", `${name}.csr`, ...ca, ...signed)
    return this.read(name)
  }

  private openssl(...args: ReadonlyArray<string>): void {
    childProcess.execFileSync("openssl", args, { cwd: this.directory, stdio: "pipe" })
  }

  private read(name: string): Issued {
    const files = {
      certificate: path.join(this.directory, `${name}.pem`),
      privateKey: path.join(this.directory, `${name}.key`)
    }
    return {
      certificate: fs.readFileSync(files.certificate, "utf8"),
      privateKey: fs.readFileSync(files.privateKey, "utf8"),
      files
    }
  }
}
