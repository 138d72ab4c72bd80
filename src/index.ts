/**
 * One namespace for each platform-neutral module. Drivers are imported by their own path (`effect-transport/node/Tcp`).
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
export * as ConnectionError from "./ConnectionError.ts"

/**
 * @since 0.1.0
 */
export * as Connector from "./Connector.ts"

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
export * as IdleTimeout from "./policy/IdleTimeout.ts"

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
export * as Network from "./Network.ts"

/**
 * @since 0.1.0
 */
export * as NetworkLayer from "./NetworkLayer.ts"

/**
 * @since 0.1.0
 */
export * as Relay from "./Relay.ts"

/**
 * @since 0.1.0
 */
export * as Server from "./server/Server.ts"

/**
 * @since 0.1.0
 */
export * as Throttle from "./policy/Throttle.ts"

/**
 * @since 0.1.0
 */
export * as Transport from "./Transport.ts"
