import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Resp from "../../examples/resp.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, text } from "../support/bytes.ts"
import { decoded, invalid } from "../support/decoding.ts"

const codec = Resp.make({ maxLength: 40 })

const tooLong = { _tag: "FrameTooLong", limit: 40, length: undefined }

const commands = (wire: string) => {
  const { failure, frames } = decoded(codec, ascii(wire))
  return { commands: frames.map((command) => command.map(text)), failure }
}

describe("a command", () => {
  it("is an array of bulk strings, or a line of words, or empty", () => {
    assert.deepStrictEqual(commands("*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\nSET a b\r\n\r\n*0\r\nPING\n"), {
      commands: [["ECHO", "\r\n"], ["SET", "a", "b"], [], [], ["PING"]],
      failure: undefined
    })
  })

  it("has no more bytes than maxLength, the first as well as the last", () => {
    const within = `*1\r\n$30\r\n${"x".repeat(29)}y\r\n`
    assert.strictEqual(within.length, 41)
    assert.deepStrictEqual(commands(within), { commands: [], failure: tooLong })
    assert.deepStrictEqual(commands(`*1\r\n$29\r\n${"x".repeat(29)}\r\nPING\r\n`).commands, [["x".repeat(29)], [
      "PING"
    ]])
    assert.deepStrictEqual(commands("*1\r\n$99999999999999999999\r\n"), { commands: [], failure: tooLong })
    assert.deepStrictEqual(commands("x".repeat(40)), { commands: [], failure: tooLong })
    assert.deepStrictEqual(commands("*1\r\n$1\r\na\r\n".repeat(9)).failure, undefined)
  })

  it("is refused where it breaks a rule, after those before it", () => {
    assert.deepStrictEqual(commands("PING\r\n*x\r\n"), {
      commands: [["PING"]],
      failure: invalid("the length of an array is no number")
    })
    for (const argument of ["$-1", "$", "$1x", ":1", "+OK"]) {
      assert.deepStrictEqual(commands(`*1\r\n${argument}\r\n`).failure, invalid("an argument is no bulk string"))
    }
  })
})

describe("replies", () => {
  it("are written as redis writes them", () => {
    const replies = ["OK", 7, null, ascii("a\r\n"), new Resp.Refused({ message: "no" }), [ascii("b"), [1, null]]]
    assert.strictEqual(
      text(Either.getOrThrow(codec.encode(replies))),
      "+OK\r\n:7\r\n$-1\r\n$3\r\na\r\n\r\n-ERR no\r\n*2\r\n$1\r\nb\r\n*2\r\n:1\r\n$-1\r\n"
    )
  })
})

describe("the laws", () => {
  const frames = FastCheck.array(FastCheck.uint8Array({ maxLength: 6 }), { maxLength: 3 })
  const inputs = FastCheck.array(FastCheck.constantFrom("*", "$", "1", "0", "\r\n", "\n", "a", " "), { maxLength: 16 })
    .map((parts) => ascii(parts.join("")))
  for (const { name, run } of CodecLaws.laws({ codec, frames, inputs, maxHeld: 40 })) it(name, run)
})
