/**
 * One namespace for each platform-neutral module. Others are imported by their own path:
 * drivers (`effect-transport/node/Tcp`), `testing/`, and `framing/MsgPack`, which loads `msgpackr`.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as Address from "./Address.ts"

/**
 * @since 0.1.0
 */
export * as Cobs from "./framing/Cobs.ts"

/**
 * @since 0.1.0
 */
export * as Codec from "./Codec.ts"

/**
 * @since 0.1.0
 */
export * as ConnectionError from "./ConnectionError.ts"

/**
 * @since 0.1.0
 */
export * as ConnectionLimit from "./policy/ConnectionLimit.ts"

/**
 * @since 0.1.0
 */
export * as Connector from "./Connector.ts"

/**
 * @since 0.1.0
 */
export * as Deadline from "./policy/Deadline.ts"

/**
 * @since 0.1.0
 */
export * as Delimited from "./framing/Delimited.ts"

/**
 * @since 0.1.0
 */
export * as Driver from "./Driver.ts"

/**
 * @since 0.1.0
 */
export * as Endpoint from "./Endpoint.ts"

/**
 * @since 0.1.0
 */
export * as FixedLength from "./framing/FixedLength.ts"

/**
 * @since 0.1.0
 */
export * as FrameError from "./FrameError.ts"

/**
 * @since 0.1.0
 */
export * as Framed from "./framing/Framed.ts"

/**
 * @since 0.1.0
 */
export * as IdleTimeout from "./policy/IdleTimeout.ts"

/**
 * @since 0.1.0
 */
export * as IntPrefixed from "./framing/IntPrefixed.ts"

/**
 * @since 0.1.0
 */
export * as LengthField from "./framing/LengthField.ts"

/**
 * @since 0.1.0
 */
export * as Lines from "./framing/Lines.ts"

/**
 * @since 0.1.0
 */
export * as Listener from "./Listener.ts"

/**
 * @since 0.1.0
 */
export * as MemoryTransport from "./memory/MemoryTransport.ts"

/**
 * @since 0.1.0
 */
export * as Ndjson from "./framing/Ndjson.ts"

/**
 * @since 0.1.0
 */
export * as Netstring from "./framing/Netstring.ts"

/**
 * @since 0.1.0
 */
export * as Network from "./Network.ts"

/**
 * @since 0.1.0
 */
export * as NetworkLayer from "./NetworkLayer.ts"

/**
 * @since 0.1.0
 */
export * as Observability from "./Observability.ts"

/**
 * @since 0.1.0
 */
export * as Producer from "./Producer.ts"

/**
 * @since 0.1.0
 */
export * as Protocol from "./Protocol.ts"

/**
 * @since 0.1.0
 */
export * as ProxyHeader from "./framing/ProxyHeader.ts"

/**
 * @since 0.1.0
 */
export * as ProxyProtocol from "./server/ProxyProtocol.ts"

/**
 * @since 0.1.0
 */
export * as Relay from "./Relay.ts"

/**
 * @since 0.1.0
 */
export * as SchemaCodec from "./framing/SchemaCodec.ts"

/**
 * @since 0.1.0
 */
export * as Server from "./server/Server.ts"

/**
 * @since 0.1.0
 */
export * as Tap from "./policy/Tap.ts"

/**
 * @since 0.1.0
 */
export * as Throttle from "./policy/Throttle.ts"

/**
 * @since 0.1.0
 */
export * as Transport from "./Transport.ts"

/**
 * @since 0.1.0
 */
export * as Varint from "./framing/Varint.ts"

/**
 * @since 0.1.0
 */
export * as WebStreams from "./web/Streams.ts"

/**
 * @since 0.1.0
 */
export * as Wiretap from "./policy/Wiretap.ts"

/**
 * @since 0.1.0
 */
export * as WriteStalled from "./policy/WriteStalled.ts"
