import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Address from "../src/Address.ts"
import * as ConnectionError from "../src/ConnectionError.ts"

const local = Address.tcp("127.0.0.1", 1111)
const remote = Address.tcp("192.0.2.7", 2222)

const counts = {
  phase: "open",
  localAddress: local,
  remoteAddress: remote,
  bytesRead: 10,
  bytesWritten: 20,
  bytesUnsent: 0
} as const

const failure = (code?: string, syscall?: string): ConnectionError.SystemFailure => ({
  code,
  syscall,
  cause: "the cause"
})

/** What the code of a failure means to whoever lost a connection, and who ended it. */
const losses = `
ECONNRESET                  ConnectionReset     peer
ECONNABORTED                ConnectionReset     network
ERR_STREAM_PREMATURE_CLOSE  ConnectionReset     peer
EPIPE                       BrokenPipe          peer
ENOTCONN                    BrokenPipe          peer
ETIMEDOUT                   ConnectionTimedOut  network
EHOSTUNREACH                PeerUnreachable     network
EHOSTDOWN                   PeerUnreachable     network
ENETUNREACH                 PeerUnreachable     network
ENETDOWN                    PeerUnreachable     network
ENETRESET                   PeerUnreachable     network
EIO                         ConnectionFailed    network
`

/** To whoever dials; of `bind`, it is about the local address. */
const connects = `
ECONNREFUSED   connect  ConnectionRefused
EAGAIN         connect  ConnectionRefused
ETIMEDOUT      connect  ConnectTimeout
EHOSTUNREACH   connect  HostUnreachable
EHOSTDOWN      connect  HostUnreachable
ENETUNREACH    connect  NetworkUnreachable
ENETDOWN       connect  NetworkUnreachable
ECONNRESET     connect  ConnectionReset
ECONNRESET     read     ConnectionReset
ECONNABORTED   connect  ConnectionReset
EPIPE          write    ConnectionReset
ENOENT         connect  PathNotFound
ENOTDIR        connect  PathNotFound
EACCES         connect  PermissionDenied
EPERM          connect  PermissionDenied
EMFILE         connect  TooManyOpenFiles
ENFILE         connect  TooManyOpenFiles
EAFNOSUPPORT   connect  AddressUnsupported
EADDRINUSE     bind     BindFailed
EADDRNOTAVAIL  bind     BindFailed
EINVAL         bind     BindFailed
EACCES         bind     BindFailed
EADDRINUSE     connect  BindFailed
EADDRNOTAVAIL  connect  BindFailed
EINVAL         connect  ConnectFailed
EIO            connect  ConnectFailed
`

const resolves = `
ENOTFOUND              HostNotFound
ENODATA                HostNotFound
EAI_NONAME             HostNotFound
EAI_NODATA             HostNotFound
EAI_ADDRFAMILY         HostNotFound
ERR_INVALID_ARG_VALUE  HostNotFound
EINVAL                 HostNotFound
EAI_AGAIN              ResolverUnavailable
EAI_FAIL               ResolverUnavailable
ETIMEOUT               ResolverUnavailable
ESERVFAIL              ResolverUnavailable
EREFUSED               ResolverUnavailable
ENOMEM                 ResolverUnavailable
EMFILE                 TooManyOpenFiles
ENFILE                 TooManyOpenFiles
EIO                    ResolverUnavailable
`

const listens = `
EADDRINUSE     AddressInUse
EADDRNOTAVAIL  AddressNotAvailable
EACCES         PermissionDenied
EPERM          PermissionDenied
EROFS          PermissionDenied
ENOENT         PathNotFound
ENOTDIR        PathNotFound
EMFILE         TooManyOpenFiles
ENFILE         TooManyOpenFiles
EAFNOSUPPORT   AddressUnsupported
EIO            ListenFailed
`

const rows = (table: string) => table.split("\n").filter((line) => line !== "").map((line) => line.split(/\s+/))

describe("fromLoss", () => {
  for (const [code, tag, side] of rows(losses)) {
    it(`${code} is ${tag}, by the ${side}`, () => {
      for (const syscall of ["read", "write", undefined]) {
        const error = ConnectionError.fromLoss(failure(code, syscall), counts)
        assert.deepInclude(error, { ...counts, _tag: tag, side, code, syscall, cause: "the cause" } as object)
      }
    })
  }

  it("without a code is ConnectionFailed", () => {
    assert.deepInclude(ConnectionError.fromLoss(failure(), counts), {
      _tag: "ConnectionFailed",
      code: undefined,
      side: "network"
    })
  })
})

describe("fromConnectFailure", () => {
  const detail = { address: remote, localAddress: local }
  const facts = (tag: string, syscall: string): object => {
    if (tag === "ConnectTimeout") {
      return { phase: "connect", target: "192.0.2.7:2222", duration: undefined, attempts: [] }
    }
    if (tag !== "ConnectionReset") return { address: remote, syscall, attempts: [] }
    const nothing = { bytesRead: 0, bytesWritten: 0, bytesUnsent: 0 }
    return { phase: "connecting", side: "peer", localAddress: local, remoteAddress: remote, syscall, ...nothing }
  }
  for (const [code, syscall, tag] of rows(connects)) {
    it(`${code} of ${syscall} is ${tag}`, () => {
      const error = ConnectionError.fromConnectFailure(failure(code, syscall), detail)
      assert.deepInclude(error, { _tag: tag, code, cause: "the cause" } as object)
      assert.deepInclude(error, facts(tag!, syscall!))
    })
  }

  it("without a code is ConnectFailed", () => {
    assert.strictEqual(ConnectionError.fromConnectFailure(failure(), detail)._tag, "ConnectFailed")
  })
})

describe("fromResolveFailure", () => {
  for (const [code, tag] of rows(resolves)) {
    it(`${code} is ${tag}`, () => {
      assert.deepInclude(ConnectionError.fromResolveFailure(failure(code), "host.test"), {
        _tag: tag,
        host: "host.test",
        code,
        cause: "the cause"
      } as object)
    })
  }
})

describe("fromListenFailure", () => {
  for (const [code, tag] of rows(listens)) {
    it(`${code} is ${tag}`, () => {
      for (const syscall of ["listen", "bind", undefined]) {
        assert.deepInclude(ConnectionError.fromListenFailure(failure(code, syscall), local), {
          _tag: tag,
          address: local,
          code,
          syscall,
          cause: "the cause"
        } as object)
      }
    })
  }
})

describe("errnoTable", () => {
  const told = { lost: losses, connect: connects, resolve: resolves, listen: listens }

  it("has no row twice", () => {
    const keys = ConnectionError.errnoTable.map(({ code, operation, syscall }) => `${operation} ${code} ${syscall}`)
    assert.strictEqual(new Set(keys).size, keys.length)
  })

  for (const entry of ConnectionError.errnoTable) {
    it(`${entry.operation} ${entry.code} ${entry.syscall} is told in this file`, () => {
      const found = rows(told[entry.operation]).some(([code, ...rest]) =>
        code === entry.code && rest.includes(entry.tag) && (entry.syscall === "*" || rest.includes(entry.syscall))
      )
      assert.isTrue(found)
    })
  }
})

describe("systemFailure", () => {
  const cases: ReadonlyArray<[cause: unknown, code: string | undefined, syscall: string | undefined]> = [
    [Object.assign(new Error("x"), { code: "ECONNRESET", syscall: "read" }), "ECONNRESET", "read"],
    [{ code: "EPIPE" }, "EPIPE", undefined],
    [{ code: 7, syscall: {} }, undefined, undefined],
    [new Error("x"), undefined, undefined],
    ["text", undefined, undefined],
    [null, undefined, undefined],
    [undefined, undefined, undefined]
  ]
  for (const [cause, code, syscall] of cases) {
    it(`of ${String(cause)} has code ${code} and system call ${syscall}`, () => {
      assert.deepStrictEqual(ConnectionError.systemFailure(cause), { code, syscall, cause })
    })
  }
})

describe("every error", () => {
  const loss = { ...counts, side: "peer", code: "ECODE", syscall: "call", cause: undefined } as const
  const listen = { address: remote, code: "ECODE", syscall: "call", cause: undefined }
  const connect = { ...listen, localAddress: undefined, attempts: [] }
  const resolve = { host: "192.0.2.7", code: "ECODE", cause: undefined }

  const all = {
    ConnectionReset: new ConnectionError.ConnectionReset(loss),
    BrokenPipe: new ConnectionError.BrokenPipe(loss),
    ConnectionAborted: new ConnectionError.ConnectionAborted(loss),
    ConnectionClosed: new ConnectionError.ConnectionClosed(loss),
    ConnectionTimedOut: new ConnectionError.ConnectionTimedOut(loss),
    CloseTimeout: new ConnectionError.CloseTimeout(loss),
    PeerUnreachable: new ConnectionError.PeerUnreachable(loss),
    ConnectionFailed: new ConnectionError.ConnectionFailed(loss),
    WriteAfterEnd: new ConnectionError.WriteAfterEnd({ localAddress: local, remoteAddress: remote }),
    ConnectionRefused: new ConnectionError.ConnectionRefused(connect),
    ConnectTimeout: new ConnectionError.ConnectTimeout({
      phase: "connect",
      target: "192.0.2.7:2222",
      duration: Duration.seconds(1),
      code: "ECODE",
      cause: undefined,
      attempts: []
    }),
    HostNotFound: new ConnectionError.HostNotFound(resolve),
    ResolverUnavailable: new ConnectionError.ResolverUnavailable(resolve),
    HostUnreachable: new ConnectionError.HostUnreachable(connect),
    NetworkUnreachable: new ConnectionError.NetworkUnreachable(connect),
    BindFailed: new ConnectionError.BindFailed(connect),
    ConnectFailed: new ConnectionError.ConnectFailed(connect),
    PathNotFound: new ConnectionError.PathNotFound(listen),
    PermissionDenied: new ConnectionError.PermissionDenied(listen),
    PathTooLong: new ConnectionError.PathTooLong({ address: remote, length: 200, maxLength: 107 }),
    TooManyOpenFiles: new ConnectionError.TooManyOpenFiles(listen),
    AddressUnsupported: new ConnectionError.AddressUnsupported(listen),
    AddressInUse: new ConnectionError.AddressInUse(listen),
    AddressNotAvailable: new ConnectionError.AddressNotAvailable(listen),
    InvalidDescriptor: new ConnectionError.InvalidDescriptor({ fd: 7, code: "ECODE", cause: undefined }),
    ListenFailed: new ConnectionError.ListenFailed(listen),
    ListenerClosed: new ConnectionError.ListenerClosed({ address: remote })
  }

  it("is listed here", () => {
    const classes = Object.entries(ConnectionError)
      .filter(([, value]) => typeof value === "function" && value.prototype instanceof Error)
      .map(([name]) => name)
    assert.deepStrictEqual(classes.toSorted(), Object.keys(all).toSorted())
  })

  for (const [name, error] of Object.entries(all)) {
    it(`${name} has its name as its tag, and a sentence that names the address as its message`, () => {
      assert.strictEqual(error._tag, name)
      assert.strictEqual(error.name, name)
      assert.match(error.message, /^[A-Z][^]*\.$/)
      assert.include(error.message, name === "InvalidDescriptor" ? "descriptor 7" : "192.0.2.7")
      assert.notMatch(error.message, /undefined|null|NaN|\[object| {2}|\.\./)
      if ("code" in error) assert.include(error.message, "ECODE")
    })
  }

  it("without a code has no empty parentheses", () => {
    const message = new ConnectionError.ConnectionAborted({ ...loss, code: undefined, syscall: undefined }).message
    assert.strictEqual(
      message,
      "The connection from 127.0.0.1:1111 to 192.0.2.7:2222 was aborted by this side after 10 bytes read and 20 written."
    )
  })

  it("tells what was not sent, the code and the system call", () => {
    const { message } = new ConnectionError.CloseTimeout({ ...loss, bytesUnsent: 5 })
    assert.include(message, ", with 5 accepted bytes unsent (call ECODE).")
  })

  for (
    const [phase, what] of [["resolve", "resolving the name"], ["connect", "connecting"], ["handshake", "handshake"]]
  ) {
    it(`ConnectTimeout says what took too long: ${phase}`, () => {
      const error = new ConnectionError.ConnectTimeout({
        phase: phase as "resolve",
        target: "host.test:80",
        duration: undefined,
        code: undefined,
        cause: undefined,
        attempts: []
      })
      assert.match(error.message, new RegExp(`^Cannot connect to host\\.test:80: .*${what} took too long\\.$`))
    })
  }

  it("TooManyOpenFiles of a look-up names the host", () => {
    const error = ConnectionError.fromResolveFailure(failure("EMFILE", "getaddrinfo"), "host.test")
    assert.strictEqual(
      error.message,
      `No descriptor is left for a look-up of the host "host.test"; raise the limit (ulimit -n) or close connections ` +
        `(getaddrinfo EMFILE).`
    )
  })

  it("BindFailed names the local address", () => {
    const error = new ConnectionError.BindFailed({ ...connect, localAddress: local })
    assert.include(error.message, "127.0.0.1:1111")
  })

  it("of an IPv6 address whose interface is not there says so", () => {
    const address = Address.tcp("fe80::1%nope", 80)
    const needs = "an address of one link needs an interface that this machine has, as in fe80::1%eth0"
    assert.strictEqual(
      ConnectionError.fromConnectFailure(failure("EINVAL", "connect"), { address, localAddress: undefined }).message,
      `Cannot connect to [fe80::1%nope]:80: ${needs} (connect EINVAL).`
    )
    assert.strictEqual(
      ConnectionError.fromListenFailure(failure("EINVAL", "listen"), address).message,
      `Cannot listen on [fe80::1%nope]:80: ${needs} (listen EINVAL).`
    )
    const { message } = ConnectionError.fromListenFailure(failure("EINVAL", "listen"), Address.tcp("192.0.2.7", 80))
    assert.strictEqual(message, "Cannot listen on 192.0.2.7:80 (listen EINVAL).")
  })
})

describe("isConnectionLost", () => {
  const detail: ConnectionError.LossDetail = {
    ...counts,
    side: "peer",
    code: undefined,
    syscall: undefined,
    cause: undefined
  }
  const classes = {
    ConnectionReset: ConnectionError.ConnectionReset,
    BrokenPipe: ConnectionError.BrokenPipe,
    ConnectionAborted: ConnectionError.ConnectionAborted,
    ConnectionClosed: ConnectionError.ConnectionClosed,
    ConnectionTimedOut: ConnectionError.ConnectionTimedOut,
    CloseTimeout: ConnectionError.CloseTimeout,
    PeerUnreachable: ConnectionError.PeerUnreachable,
    ConnectionFailed: ConnectionError.ConnectionFailed
  } satisfies Record<ConnectionError.ConnectionLost["_tag"], unknown>

  for (const [tag, Loss] of Object.entries(classes)) {
    it(`is true of ${tag}`, () => assert.isTrue(ConnectionError.isConnectionLost(new Loss(detail))))
  }

  it("is false of what is no loss, also if it looks like one", () => {
    const { WriteAfterEnd, fromConnectFailure, isConnectionLost } = ConnectionError
    assert.isFalse(isConnectionLost(new WriteAfterEnd({ localAddress: local, remoteAddress: remote })))
    assert.isFalse(
      isConnectionLost(
        fromConnectFailure(failure("ECONNREFUSED", "connect"), { address: remote, localAddress: undefined })
      )
    )
    assert.isFalse(isConnectionLost({ _tag: "ConnectionReset", ...detail }))
    assert.isFalse(isConnectionLost(undefined))
  })
})
