// @ts-check

import { nchan } from './nchan.mjs'
import { betterSse, fastifySseV2, plainNode, socketIo, socketIoRedis } from './node-peers.mjs'
import { tidings, tidingsRedis } from './tidings.mjs'

/**
 * A server under measurement.
 *
 * `protocol` names its protocol in load/protocols.mjs. `unavailable` returns the reason why it cannot run here, or nothing.
 * `abilities` lists its features beyond broadcast and unicast, which some scenarios need.
 * @typedef {{
 *   name: string,
 *   protocol: 'tidings' | 'nchan' | 'plain' | 'socket.io',
 *   adapter: 'memory' | 'redis',
 *   abilities: Array<'batch' | 'resume' | 'rooms' | 'redis'>,
 *   unavailable: () => string | undefined,
 *   start: (settings: Settings) => Promise<Server>
 * }} Peer
 *
 * `env` holds variables of a gateway. `replicas` processes share one Redis. `profile` is the folder for a CPU profile.
 * @typedef {{ folder: string, env?: Record<string, string>, replicas?: number, profile?: string }} Settings
 *
 * The CPU and memory of `processes` count as the server's. Those of `helpers` (Redis) are reported apart.
 * @typedef {{
 *   ports: number[],
 *   processes: import('../processes.mjs').Running[],
 *   helpers: import('../processes.mjs').Running[],
 *   redisUrl?: string,
 *   stop: () => Promise<void>
 * }} Server
 */

/** In the order of the table's columns. @type {Peer[]} */
export const PEERS = [tidings, tidingsRedis, nchan, socketIo, socketIoRedis, plainNode, betterSse, fastifySseV2]
