import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as FastCheck from "effect/FastCheck"
import * as Hash from "effect/Hash"
import * as Address from "../src/Address.ts"
import * as Endpoint from "../src/Endpoint.ts"

const { HaproxyServer, TcpClient, TcpServer, TlsClient, TlsServer, UnixClient, UnixServer } = Endpoint

const assertEqual = (actual: unknown, expected: unknown) => {
  assert.deepStrictEqual(actual, expected)
  assert.isTrue(Equal.equals(actual, expected))
  assert.strictEqual(Hash.hash(actual), Hash.hash(expected))
}

const plain = new TcpServer({ address: Address.tcp("127.0.0.1", 8080) })

const tlsServer = (options: Omit<ConstructorParameters<typeof TlsServer>[0], "address">) =>
  new TlsServer({ address: Address.tcp("127.0.0.1", 443), ...options })

describe("parseServer", () => {
  const table: ReadonlyArray<[description: string, endpoint: Endpoint.ServerEndpoint]> = [
    ["tcp:8080", new TcpServer({ address: Address.tcp("127.0.0.1", 8080) })],
    ["tcp:0", new TcpServer({ address: Address.tcp("127.0.0.1", 0) })],
    ["tcp:65535", new TcpServer({ address: Address.tcp("127.0.0.1", 65535) })],
    ["tcp:port=8080", new TcpServer({ address: Address.tcp("127.0.0.1", 8080) })],
    ["tcp:8080:interface=0.0.0.0", new TcpServer({ address: Address.tcp("0.0.0.0", 8080) })],
    ["tcp:interface=0.0.0.0:8080", new TcpServer({ address: Address.tcp("0.0.0.0", 8080) })],
    ["tcp:8080:interface=\\:\\:1", new TcpServer({ address: Address.tcp("::1", 8080) })],
    ["tcp:8080:interface=FE80\\:\\:1%eth0", new TcpServer({ address: Address.tcp("fe80::1%eth0", 8080) })],
    ["tcp:8080:backlog=5", new TcpServer({ address: Address.tcp("127.0.0.1", 8080), backlog: 5 })],
    ["\\tcp:\\8080:back\\log=\\5", new TcpServer({ address: Address.tcp("127.0.0.1", 8080), backlog: 5 })],
    ["tls:443:privateKey=k:certKey=c", tlsServer({ privateKey: "k", certificate: "c" })],
    ["tls:443:both.pem", tlsServer({ privateKey: "both.pem", certificate: "both.pem" })],
    ["tls:privateKey=k:443:trustRoots=/a\\:b", tlsServer({ privateKey: "k", trustRoots: "/a:b" })],
    [
      "tls:443:privateKey=k=1:interface=\\:\\::backlog=5",
      new TlsServer({ address: Address.tcp("::", 443), privateKey: "k=1", backlog: 5 })
    ],
    ["haproxy:tcp\\:8080", new HaproxyServer({ server: plain })],
    ["haproxy:server=tcp\\:8080", new HaproxyServer({ server: plain })],
    ["haproxy:tcp\\:8080:trusted=127.0.0.0/8,\\:\\:1,unix", new HaproxyServer({ server: plain })],
    ["haproxy:tcp\\:8080:trusted=10.0.0.0/8", new HaproxyServer({ server: plain, trusted: ["10.0.0.0/8"] })],
    [
      "haproxy:tcp\\:8080\\:interface=\\\\\\:\\\\\\:1",
      new HaproxyServer({ server: new TcpServer({ address: Address.tcp("::1", 8080) }) })
    ],
    [
      "haproxy:tls\\:443\\:privateKey\\=k\\:certKey\\=c",
      new HaproxyServer({ server: tlsServer({ privateKey: "k", certificate: "c" }) })
    ],
    [
      "haproxy:unix\\:/a\\:mode=660:trusted=unix",
      new HaproxyServer({ server: new UnixServer({ address: Address.unix("/a"), mode: 0o660 }), trusted: ["unix"] })
    ],
    ["unix:/run/app.sock", new UnixServer({ address: Address.unix("/run/app.sock") })],
    ["unix:path=/run/app.sock", new UnixServer({ address: Address.unix("/run/app.sock") })],
    ["unix:app.sock", new UnixServer({ address: Address.unix("./app.sock") })],
    ["unix:@app", new UnixServer({ address: Address.unix("\0app") })],
    ["unix:./@app", new UnixServer({ address: Address.unix("./@app") })],
    ["unix:/a:mode=660", new UnixServer({ address: Address.unix("/a"), mode: 0o660 })],
    ["unix:/a:mode=0777:backlog=9", new UnixServer({ address: Address.unix("/a"), mode: 0o777, backlog: 9 })],
    ["unix:/a:mode=000", new UnixServer({ address: Address.unix("/a"), mode: 0 })],
    ["unix:/a\\:b\\\\c\\=d", new UnixServer({ address: Address.unix("/a:b\\c=d") })],
    ["unix:path=/a=b=c", new UnixServer({ address: Address.unix("/a=b=c") })],
    [`unix:/${"x".repeat(106)}`, new UnixServer({ address: Address.unix(`/${"x".repeat(106)}`) })]
  ]
  for (const [description, endpoint] of table) {
    it(description, () => assertEqual(Either.getOrThrow(Endpoint.parseServer(description)), endpoint))
  }
})

describe("parseClient", () => {
  const seconds = (host: string, seconds: number) =>
    new TcpClient({ host, port: 80, timeout: Duration.seconds(seconds) })
  const table: ReadonlyArray<[description: string, endpoint: Endpoint.ClientEndpoint]> = [
    ["tcp:example.com:80", new TcpClient({ host: "example.com", port: 80 })],
    ["tcp:host=example.com:port=80", new TcpClient({ host: "example.com", port: 80 })],
    ["tcp:port=80:host=example.com", new TcpClient({ host: "example.com", port: 80 })],
    ["tcp:example.com:port=80", new TcpClient({ host: "example.com", port: 80 })],
    ["tcp:80:host=example.com", new TcpClient({ host: "example.com", port: 80 })],
    ["tcp:127.0.0.1:80", new TcpClient({ host: "127.0.0.1", port: 80 })],
    ["tcp:\\:\\:1:80", new TcpClient({ host: "::1", port: 80 })],
    ["tcp:host=0\\:\\:1:port=80", new TcpClient({ host: "::1", port: 80 })],
    ["tcp:3com.com.:80", new TcpClient({ host: "3com.com.", port: 80 })],
    ["tcp:bücher.example:80", new TcpClient({ host: "bücher.example", port: 80 })],
    ["tcp:h:80:timeout=30", seconds("h", 30)],
    ["tcp:h:80:timeout=0.001", seconds("h", 0.001)],
    ["tcp:h:80:timeout=0.07", seconds("h", 0.07)],
    ["tcp:h:80:timeout=2147483.647", seconds("h", 2147483.647)],
    ["tcp:h:80:bindAddress=10.0.0.1", new TcpClient({ host: "h", port: 80, bindAddress: "10.0.0.1" })],
    ["tcp:h:80:bindAddress=\\:\\:FFFF\\:10.0.0.1", new TcpClient({ host: "h", port: 80, bindAddress: "10.0.0.1" })],
    ["tls:example.com:443", new TlsClient({ host: "example.com", port: 443 })],
    [
      "tls:h:443:trustRoots=r:certificate=c:privateKey=k:serverName=n:timeout=5:bindAddress=10.0.0.1",
      new TlsClient({
        host: "h",
        port: 443,
        trustRoots: "r",
        certificate: "c",
        privateKey: "k",
        serverName: "n",
        timeout: Duration.seconds(5),
        bindAddress: "10.0.0.1"
      })
    ],
    ["tls:h:443:certificate=both", new TlsClient({ host: "h", port: 443, certificate: "both", privateKey: "both" })],
    ["tls:h:443:privateKey=both", new TlsClient({ host: "h", port: 443, certificate: "both", privateKey: "both" })],
    ["tls:h:443:serverName=h", new TlsClient({ host: "h", port: 443 })],
    ["unix:/run/app.sock", new UnixClient({ address: Address.unix("/run/app.sock") })],
    ["unix:@app:timeout=2.5", new UnixClient({ address: Address.unix("\0app"), timeout: Duration.millis(2500) })]
  ]
  for (const [description, endpoint] of table) {
    it(description, () => assertEqual(Either.getOrThrow(Endpoint.parseClient(description)), endpoint))
  }
})

describe("EndpointError", () => {
  const tlsExample = "tls:443:privateKey=key.pem:certKey=cert.pem"
  const plainSchemes = `as in tcp:8080:interface=127.0.0.1, ${tlsExample}`
  const serverScheme = `tcp, tls, unix or haproxy, ${plainSchemes}, unix:/run/app.sock:mode=660 or ` +
    "haproxy:tcp\\:8080:trusted=10.0.0.0/8"
  const quotedScheme = `tcp, tls or unix, ${plainSchemes} or unix:/run/app.sock:mode=660`
  const clientScheme = "tcp, tls or unix, as in tcp:example.com:443:timeout=5, tls:example.com:443:timeout=5 or " +
    "unix:/run/app.sock:timeout=5"
  const equalsSign = "(an equals sign in a value is written \\=)"
  const tcpServerKey = `one of port, interface, backlog, as in tcp:8080:interface=127.0.0.1 ${equalsSign}`
  const unixServerKey = `one of path, mode, backlog, as in unix:/run/app.sock:mode=660 ${equalsSign}`
  const tcpClientKey = `one of host, port, timeout, bindAddress, as in tcp:example.com:443:timeout=5 ${equalsSign}`
  const tcpServerSurplus =
    "key=value with interface or backlog, as in tcp:8080:interface=127.0.0.1 (a colon in a value is written \\:)"
  const tcpClientSurplus =
    "key=value with timeout or bindAddress, as in tcp:example.com:443:timeout=5 (a colon in a value is written \\:)"
  const backslash = "a character after it (a backslash is written \\\\)"
  const listenPort = "a whole number from 0 to 65535"
  const remotePort = "a whole number from 1 to 65535"
  const backlog = "a whole number from 1 to 2147483647, as in backlog=128"
  const host = "a host name or an IP address"
  const literal = (key: string) => `an IP address, as in ${key}=\\:\\:1`
  const timeout = "a number of seconds above 0 and up to 2147483.647, as in timeout=2.5"
  const mode = "three or four octal digits up to 0777, as in mode=660"
  const path = "a path of 1 to 107 bytes, or @ and an abstract name"
  const long = "x".repeat(108)
  const wide = `/${"é".repeat(54)}`

  const pem = "the path of a file in PEM"
  const tlsClientKeys = "host, port, trustRoots, certificate, privateKey, serverName, timeout, bindAddress"
  const proxies = "IP addresses, blocks of them, and unix, with commas between, as in trusted=10.0.0.0/8,unix"
  const quotedSurplus =
    "key=value with trusted, as in haproxy:tcp\\:8080:trusted=10.0.0.0/8 (a colon in a value is written \\:)"

  type Row = [description: string, position: number, found: string, expected: string]
  const server: ReadonlyArray<Row> = [
    ["", 0, "no scheme", serverScheme],
    [":8080", 0, "no scheme", serverScheme],
    ["8080", 0, "the unknown scheme \"8080\"", serverScheme],
    ["ssl:443", 0, "the unknown scheme \"ssl\"", serverScheme],
    ["toString:443", 0, "the unknown scheme \"toString\"", serverScheme],
    ["port=8080", 0, "the unknown scheme \"port=8080\"", serverScheme],
    ["TCP:8080", 0, "the unknown scheme \"TCP\"", "tcp in lower case, as in tcp:8080:interface=127.0.0.1"],
    ["tcp", 3, "no port", `${listenPort}, as in tcp:8080:interface=127.0.0.1`],
    ["tcp:interface=0.0.0.0", 21, "no port", `${listenPort}, as in tcp:8080:interface=127.0.0.1`],
    ["tcp:", 4, "the port \"\"", `${listenPort}, as in port=8080`],
    ["tcp:http", 4, "the port \"http\"", `${listenPort}, as in port=8080`],
    ["tcp:65536", 4, "the port \"65536\"", `${listenPort}, as in port=8080`],
    ["tcp:-1", 4, "the port \"-1\"", `${listenPort}, as in port=8080`],
    ["tcp:80.5", 4, "the port \"80.5\"", `${listenPort}, as in port=8080`],
    ["tcp: 80", 4, "the port \" 80\"", `${listenPort}, as in port=8080`],
    ["tcp:port=1e3", 9, "the port \"1e3\"", `${listenPort}, as in port=8080`],
    ["tcp:127.0.0.1:80", 14, "the surplus value \"80\"", tcpServerSurplus],
    ["tcp:80:interface=::1", 18, "the surplus value \"\"", tcpServerSurplus],
    ["tcp:80:port=81", 4, "the surplus value \"80\"", tcpServerSurplus],
    ["tcp:80:prot=81", 7, "the unknown key \"prot\"", tcpServerKey],
    ["tcp:80:Backlog=5", 7, "the unknown key \"Backlog\"", tcpServerKey],
    ["tcp:80:timeout=5", 7, "the unknown key \"timeout\"", tcpServerKey],
    ["tcp:=80", 4, "the unknown key \"\"", tcpServerKey],
    ["tcp:80:backlog=5:backlog=5", 17, "the key backlog again", "each key once, as in tcp:8080:interface=127.0.0.1"],
    ["tcp:80:backlog=0", 15, "the backlog \"0\"", backlog],
    ["tcp:80:backlog=2147483648", 15, "the backlog \"2147483648\"", backlog],
    ["tcp:80:backlog=", 15, "the backlog \"\"", backlog],
    ["tcp:80:interface=", 17, "the interface \"\"", literal("interface")],
    ["tcp:80:interface=localhost", 17, "the interface \"localhost\"", literal("interface")],
    ["tcp:80:interface=[\\:\\:1]", 17, "the interface \"[::1]\"", literal("interface")],
    ["tcp:80\\", 6, "a lone backslash", backslash],
    ["\\", 0, "a lone backslash", backslash],
    ["tls:443", 7, "no privateKey", `${pem}, as in ${tlsExample}`],
    ["tls:443:privateKey=", 19, "the privateKey \"\"", `${pem}, as in privateKey=/etc/tls/example.pem`],
    ["tls:https:privateKey=k", 4, "the port \"https\"", `${listenPort}, as in port=8080`],
    ["haproxy", 7, "no server", "a description, quoted, as in haproxy:tcp\\:8080:trusted=10.0.0.0/8"],
    ["haproxy:tcp:8080", 12, "the surplus value \"8080\"", quotedSurplus],
    ["haproxy:udp\\:53", 8, "the unknown scheme \"udp\"", quotedScheme],
    ["haproxy:haproxy\\:tcp\\\\\\:1", 8, "the unknown scheme \"haproxy\"", quotedScheme],
    ["haproxy:tcp\\:http", 13, "the port \"http\"", `${listenPort}, as in port=8080`],
    ["haproxy:tcp\\:80\\:prot\\=81", 17, "the unknown key \"prot\"", tcpServerKey],
    ["haproxy:server=tcp\\:80\\:", 24, "the surplus value \"\"", tcpServerSurplus],
    ["haproxy:tcp", 11, "no port", `${listenPort}, as in tcp:8080:interface=127.0.0.1`],
    ["haproxy:tcp\\:80:trusted=localhost", 24, "the trusted \"localhost\"", proxies],
    ["haproxy:tcp\\:80:trusted=10.0.0.0/33", 24, "the trusted \"10.0.0.0/33\"", proxies],
    ["haproxy:tcp\\:80:trusted=", 24, "the trusted \"\"", proxies],
    ["haproxy:tcp\\:80:trusted=fe80\\:\\:1%eth0", 24, "the trusted \"fe80::1%eth0\"", proxies],
    ["haproxy:tcp\\:80:trusted=\\:\\:ffff\\:1.2.3.4/95", 24, "the trusted \"::ffff:1.2.3.4/95\"", proxies],
    ["unix", 4, "no path", `${path}, as in unix:/run/app.sock:mode=660`],
    ["unix:", 5, "the path \"\"", `${path}, as in path=/run/app.sock`],
    ["unix:@", 5, "the path \"@\"", `${path}, as in path=/run/app.sock`],
    ["unix:/a\0b", 5, "the path \"/a\\u0000b\"", `${path}, as in path=/run/app.sock`],
    [`unix:/${long}`, 5, `the path "/${long}"`, `${path}, as in path=/run/app.sock`],
    [`unix:@${long}`, 5, `the path "@${long}"`, `${path}, as in path=/run/app.sock`],
    [`unix:${wide}`, 5, `the path "${wide}"`, `${path}, as in path=/run/app.sock`],
    ["unix:/a=b", 5, "the unknown key \"/a\"", unixServerKey],
    ["unix:/a:mode=1777", 13, "the mode \"1777\"", mode],
    ["unix:/a:mode=888", 13, "the mode \"888\"", mode],
    ["unix:/a:mode=66", 13, "the mode \"66\"", mode],
    ["unix:/a:mode=0o660", 13, "the mode \"0o660\"", mode],
    ["unix:@a:mode=660", 13, "the mode \"660\"", "no mode, as an abstract address has no file"]
  ]
  const client: ReadonlyArray<Row> = [
    ["udp:h:80", 0, "the unknown scheme \"udp\"", clientScheme],
    ["Unix:/a", 0, "the unknown scheme \"Unix\"", "unix in lower case, as in unix:/run/app.sock:timeout=5"],
    ["tcp", 3, "no host", `${host}, as in tcp:example.com:443:timeout=5`],
    ["tcp:h", 5, "no port", `${remotePort}, as in tcp:example.com:443:timeout=5`],
    ["tcp:port=80", 11, "no host", `${host}, as in tcp:example.com:443:timeout=5`],
    ["tcp::80", 4, "the host \"\"", `${host}, as in host=example.com`],
    ["tcp:a b:80", 4, "the host \"a b\"", `${host}, as in host=example.com`],
    ["tcp:127.1:80", 4, "the host \"127.1\"", `${host}, as in host=example.com`],
    ["tcp:1.2.3.256:80", 4, "the host \"1.2.3.256\"", `${host}, as in host=example.com`],
    ["tcp:8080:80", 4, "the host \"8080\"", `${host}, as in host=example.com`],
    ["tcp:[\\:\\:1]:80", 4, "the host \"[::1]\"", `${host}, as in host=example.com`],
    ["tcp:http\\://h:80", 4, "the host \"http://h\"", `${host}, as in host=example.com`],
    ["tcp:a\\\\b:80", 4, "the host \"a\\b\"", `${host}, as in host=example.com`],
    ["tcp:h:0", 6, "the port \"0\"", `${remotePort}, as in port=443`],
    ["tcp:h:99999999999", 6, "the port \"99999999999\"", `${remotePort}, as in port=443`],
    ["tcp:::1:80", 6, "the surplus value \"1\"", tcpClientSurplus],
    ["tcp:h:80:interface=\\:\\:1", 9, "the unknown key \"interface\"", tcpClientKey],
    ["tcp:h:80:host=h:host=g", 16, "the key host again", "each key once, as in tcp:example.com:443:timeout=5"],
    ["tcp:h:80:timeout=0", 17, "the timeout \"0\"", timeout],
    ["tcp:h:80:timeout=0.0004", 17, "the timeout \"0.0004\"", timeout],
    ["tcp:h:80:timeout=-1", 17, "the timeout \"-1\"", timeout],
    ["tcp:h:80:timeout=5s", 17, "the timeout \"5s\"", timeout],
    ["tcp:h:80:timeout=.5", 17, "the timeout \".5\"", timeout],
    ["tcp:h:80:timeout=1e3", 17, "the timeout \"1e3\"", timeout],
    ["tcp:h:80:timeout=Infinity", 17, "the timeout \"Infinity\"", timeout],
    ["tcp:h:80:timeout=2147483.648", 17, "the timeout \"2147483.648\"", timeout],
    ["tcp:h:80:bindAddress=eth0", 21, "the bindAddress \"eth0\"", literal("bindAddress")],
    [
      "tls:h:443:trustroots=r",
      10,
      "the unknown key \"trustroots\"",
      `one of ${tlsClientKeys}, as in tls:example.com:443:timeout=5 ${equalsSign}`
    ],
    ["tls:h:443:serverName=a b", 21, "the serverName \"a b\"", `${host}, as in serverName=example.com`],
    ["tls:h:443:trustRoots=a\0", 21, "the trustRoots \"a\\u0000\"", `${pem}, as in trustRoots=/etc/tls/example.pem`],
    ["unix:/a:timeout=", 16, "the timeout \"\"", timeout],
    ["unix:/a:timeout=1\\", 17, "a lone backslash", backslash]
  ]
  const check = (parse: (text: string) => Either.Either<unknown, Endpoint.EndpointError>, rows: ReadonlyArray<Row>) => {
    for (const [description, position, found, expected] of rows) {
      it(`refuses ${JSON.stringify(description)}`, () => {
        const error = Either.getOrThrow(Either.flip(parse(description)))
        assert.deepStrictEqual(
          [error._tag, error.description, error.position, error.found, error.expected],
          ["EndpointError", description, position, found, expected]
        )
        assert.include(error.message, `: found ${found} at ${position}, expected ${expected}.`)
      })
    }
  }
  describe("of a server", () => check(Endpoint.parseServer, server))
  describe("of a client", () => check(Endpoint.parseClient, client))

  it("is one sentence, which shows each backslash as it was typed", () => {
    const error = Either.getOrThrow(Either.flip(Endpoint.parseClient("tcp:\\:\\:1:http")))
    assert.strictEqual(
      error.message,
      "Cannot read the endpoint \"tcp:\\:\\:1:http\": found the port \"http\" at 10, " +
        "expected a whole number from 1 to 65535, as in port=443."
    )
  })

  it.prop("is the only way in which reading fails", [
    FastCheck.array(
      FastCheck.constantFrom(
        ...["tcp", "tls", "unix", "haproxy", ":", "\\:", "=", "\\", "port", "8", "mode", "/", "@", "h", "\0", "", ","],
        ...["haproxy:tcp\\:8", "tls:h:8", "trusted="]
      )
    )
  ], ([tokens]) => {
    for (const parse of [Endpoint.parseServer, Endpoint.parseClient]) {
      const result: Either.Either<unknown, Endpoint.EndpointError> = parse(tokens.join(""))
      if (Either.isLeft(result)) {
        assert.isAtLeast(result.left.position, 0)
        assert.isAtMost(result.left.position, tokens.join("").length)
      }
    }
  })
})

describe("values", () => {
  it("are equal whether an option is absent or undefined, and whatever the unit of a timeout", () => {
    const address = Address.tcp("::1", 80)
    assertEqual(new TcpServer({ address }), new TcpServer({ address, backlog: undefined }))
    assertEqual(
      new TcpClient({ host: "h", port: 80, timeout: Duration.millis(70) }),
      new TcpClient({ host: "h", port: 80, timeout: Duration.nanos(70_000_000n) })
    )
    assert.isFalse(Equal.equals(new TcpServer({ address }), new TcpServer({ address, backlog: 1 })))
    assert.isFalse(
      Equal.equals(new UnixClient({ address: Address.unix("/a") }), new UnixClient({ address: Address.unix("/b") }))
    )
  })

  it("keep a timeout in whole milliseconds, and a literal in its canonical spelling", () => {
    const endpoint = new TcpClient({
      host: "0::1",
      port: 80,
      timeout: Duration.millis(1.6),
      bindAddress: "::FFFF:10.0.0.1"
    })
    assertEqual(endpoint.timeout, Duration.millis(2))
    assert.deepStrictEqual([endpoint.host, endpoint.bindAddress], ["::1", "10.0.0.1"])
  })

  it("are refused when no description could hold them", () => {
    const address = Address.unix("/a")
    const client = { host: "h", port: 80 }
    const table: ReadonlyArray<[make: () => unknown, message: string]> = [
      [
        () => new TcpServer({ address: Address.tcp("::1", 1), backlog: 1.5 }),
        "backlog must be a whole number from 1 to 2147483647, but is \"1.5\""
      ],
      [() => new TcpClient({ host: "", port: 80 }), "host must be a host name or an IP address, but is \"\""],
      [() => new TcpClient({ host: "h", port: 0 }), "port must be a whole number from 1 to 65535, but is \"0\""],
      [
        () => new TcpClient({ ...client, timeout: Duration.infinity }),
        "timeout must be a number of seconds above 0 and up to 2147483.647, but is \"Infinity\""
      ],
      [() => new TcpClient({ ...client, timeout: Duration.zero }), "timeout must be"],
      [() => new TcpClient({ ...client, bindAddress: "eth0" }), "bindAddress must be an IP address, but is \"eth0\""],
      [
        () => new UnixServer({ address, mode: 0o1777 }),
        "mode must be three or four octal digits up to 0777, but is \"1777\""
      ],
      [() => new UnixServer({ address, mode: -1 }), "mode must be"],
      [() => new UnixServer({ address, backlog: -1 }), "backlog must be"],
      [
        () => new UnixServer({ address: Address.unix("\0a"), mode: 0 }),
        "mode must be left out, as @a is abstract and has no file"
      ],
      [
        () => new UnixServer({ address: Address.unix("") }),
        "address must be a path of 1 to 107 bytes, or @ and an abstract name, but is \"\""
      ],
      [() => new UnixClient({ address: Address.unix("\0") }), "address must be"],
      [() => new UnixClient({ address: Address.unix("/a\0") }), "address must be"],
      [() => new UnixClient({ address: Address.unix(`/${"é".repeat(54)}`) }), "address must be"],
      [() => new UnixClient({ address, timeout: Duration.nanos(1n) }), "timeout must be"],
      [() => tlsServer({ privateKey: "" }), "privateKey must be the path of a file in PEM, but is \"\""],
      [() => new TlsClient({ ...client, trustRoots: "\0" }), "trustRoots must be"],
      [() => new TlsClient({ ...client, serverName: "a:b" }), "serverName must be a host name or an IP address"],
      [() => new HaproxyServer({ server: plain, trusted: [] }), "trusted must be IP addresses, blocks of them"],
      [() => new HaproxyServer({ server: plain, trusted: ["10.0.0.0/8", "x"] }), "trusted must be"]
    ]
    for (const [make, message] of table) assert.throws(make, RangeError, `The ${message}`)
  })
})

describe("format", () => {
  const undefinedOr = <A>(arbitrary: FastCheck.Arbitrary<A>) => FastCheck.option(arbitrary, { nil: undefined })
  const literal = FastCheck.oneof(
    FastCheck.ipV4(),
    FastCheck.ipV6(),
    FastCheck.constantFrom("fe80::1%eth0", "fe80::1%a=b\\:c")
  )
  const backlog = undefinedOr(FastCheck.integer({ min: 1, max: 2_147_483_647 }))
  const timeout = undefinedOr(FastCheck.integer({ min: 1, max: 2_147_483_647 }).map(Duration.millis))
  const path = FastCheck.oneof(
    FastCheck.string({ minLength: 1, maxLength: 25, unit: "binary" }),
    FastCheck.string({
      minLength: 1,
      unit: FastCheck.constantFrom(":", "\\", "=", "@", "/", ".", "a", "mode=1", "\n", " ")
    })
  ).map((path) => path.replaceAll("\0", "")).filter((path) =>
    path !== "" && new TextEncoder().encode(path).length <= 100
  )
  const address = FastCheck.oneof(path, path.map((name) => `\0${name}`)).map(Address.unix)
  const tcp = FastCheck.tuple(literal, FastCheck.integer({ min: 0, max: 65535 })).map((args) => Address.tcp(...args))
  const plainServers = FastCheck.oneof(
    FastCheck.record({ address: tcp, backlog }).map((options): Endpoint.HaproxyServer["server"] =>
      new TcpServer(options)
    ),
    FastCheck.record({
      address: tcp,
      privateKey: path,
      certificate: undefinedOr(path),
      trustRoots: undefinedOr(path),
      backlog
    }).map((options) => new TlsServer(options)),
    FastCheck.record({ address, mode: undefinedOr(FastCheck.integer({ min: 0, max: 0o777 })), backlog }).map((
      options
    ) => new UnixServer(options.address.isAbstract ? { ...options, mode: undefined } : options))
  )
  const block = FastCheck.oneof(
    FastCheck.tuple(FastCheck.ipV4(), FastCheck.nat(32)).map(([host, bits]) => `${host}/${bits}`),
    FastCheck.constantFrom("unix", "192.0.2.1", "::1", "2001:db8::/32", "::ffff:192.0.2.0/120")
  )
  const servers = FastCheck.oneof(
    plainServers,
    FastCheck.record({ server: plainServers, trusted: undefinedOr(FastCheck.array(block, { minLength: 1 })) }).map(
      (options): Endpoint.ServerEndpoint => new HaproxyServer(options)
    )
  )
  const host = FastCheck.oneof(FastCheck.domain(), literal)
  const dialled = {
    host,
    port: FastCheck.integer({ min: 1, max: 65535 }),
    timeout,
    bindAddress: undefinedOr(literal)
  }
  const clients = FastCheck.oneof(
    FastCheck.record(dialled).map((options): Endpoint.ClientEndpoint => new TcpClient(options)),
    FastCheck.record({
      ...dialled,
      trustRoots: undefinedOr(path),
      certificate: undefinedOr(path),
      privateKey: undefinedOr(path),
      serverName: undefinedOr(host)
    }).map((options) => new TlsClient(options)),
    FastCheck.record({ address, timeout }).map((options) => new UnixClient(options))
  )

  it.prop("writes what parseServer reads back", [servers], ([endpoint]) => {
    assertEqual(Either.getOrThrow(Endpoint.parseServer(Endpoint.format(endpoint))), endpoint)
  }, { fastCheck: { numRuns: 1000 } })

  it.prop("writes what parseClient reads back", [clients], ([endpoint]) => {
    assertEqual(Either.getOrThrow(Endpoint.parseClient(Endpoint.format(endpoint))), endpoint)
  }, { fastCheck: { numRuns: 1000 } })

  const shortest: ReadonlyArray<[given: string, expected: string]> = [
    ["tcp:port=08080:interface=127.0.0.1", "tcp:8080"],
    ["tcp:backlog=5:interface=0\\:\\:0:80", "tcp:80:interface=\\:\\::backlog=5"],
    ["unix:path=a=b:mode=0060", "unix:./a\\=b:mode=060"],
    ["unix:backlog=1:@a\\:b\\\\c", "unix:@a\\:b\\\\c:backlog=1"],
    ["tls:k:port=443:certKey=k:interface=127.0.0.1", "tls:443:privateKey=k"],
    ["haproxy:trusted=127.0.0.0/8,\\:\\:1,unix:tcp\\:port=80", "haproxy:tcp\\:80"],
    ["haproxy:tcp\\:80\\:backlog=5", "haproxy:tcp\\:80\\:backlog\\=5"]
  ]
  for (const [given, expected] of shortest) {
    it(`writes ${given} as ${expected}`, () =>
      assert.strictEqual(Endpoint.format(Either.getOrThrow(Endpoint.parseServer(given))), expected))
  }

  it("writes a client with all it has", () => {
    const given = "tcp:bindAddress=\\:\\:1:timeout=0.250:port=80:host=h"
    const expected = "tcp:h:80:timeout=0.25:bindAddress=\\:\\:1"
    assert.strictEqual(Endpoint.format(Either.getOrThrow(Endpoint.parseClient(given))), expected)
  })
})

describe("describeClient", () => {
  const table: ReadonlyArray<[Address.Address, string]> = [
    [Address.tcp("127.0.0.1", 43117), "tcp:127.0.0.1:43117"],
    [Address.tcp("::1", 43117), "tcp:\\:\\:1:43117"],
    [Address.tcp("fe80::1%eth0", 43117), "tcp:fe80\\:\\:1%eth0:43117"],
    [Address.tcp("0.0.0.0", 43117), "tcp:127.0.0.1:43117"],
    [Address.tcp("::", 43117), "tcp:\\:\\:1:43117"],
    [Address.unix("/tmp/x.sock"), "unix:/tmp/x.sock"],
    [Address.unix("/tmp/a:b=c"), "unix:/tmp/a\\:b\\=c"],
    [Address.unix("\0app"), "unix:@app"]
  ]
  for (const [address, description] of table) {
    it(`${address} is reached by ${description}`, () => {
      assert.strictEqual(Endpoint.describeClient(address), description)
      assert.isTrue(Either.isRight(Endpoint.parseClient(description)))
    })
  }

  it("says tls: where that is spoken", () => {
    assert.strictEqual(Endpoint.describeClient(Address.tcp("0.0.0.0", 443), "tls"), "tls:127.0.0.1:443")
    assert.strictEqual(Endpoint.describeClient(Address.unix("/tmp/x"), "tls"), "unix:/tmp/x")
  })

  it("names what cannot be dialled, and never throws", () => {
    assert.strictEqual(Endpoint.describeClient(Address.pipe("stdio")), "stdio")
    assert.strictEqual(Endpoint.describeClient(Address.memory("client")), "client")
    assert.strictEqual(Endpoint.describeClient(Address.unix("")), "(unnamed)")
    assert.strictEqual(Endpoint.describeClient(Address.unspecified("IPv6")), "[::]:0")
    assert.strictEqual(Endpoint.describeClient(Address.unix(`/${"x".repeat(200)}`)), `unix:/${"x".repeat(200)}`)
  })
})
