// @ts-check

import { nchan } from './nchan.mjs'
import { betterSse, fastifySseV2, plainNode, socketIo, socketIoRedis } from './node-peers.mjs'
import { tidings, tidingsRedis } from './tidings.mjs'

/**
 * A server that can be measured.
 *
 * `protocol` names how the load generator speaks to it (load/protocols.mjs); `unavailable` says why it cannot run here,
 * or nothing. `abilities` are what a scenario may ask of it beyond broadcast and unicast.
 * @typedef {{
 *   name: string,
 *   protocol: 'tidings' | 'nchan' | 'plain' | 'socket.io',
 *   adapter: 'memory' | 'redis',
 *   abilities: Array<'batch' | 'resume' | 'rooms' | 'redis'>,
 *   unavailable: () => string | undefined,
 *   start: (settings: Settings) => Promise<Server>
 * }} Peer
 *
 * `env` are a gateway's own variables; `replicas` how many processes share one Redis; `profile` writes a CPU profile.
 * @typedef {{ folder: string, env?: Record<string, string>, replicas?: number, profile?: string }} Settings
 *
 * `processes` are those whose CPU and memory are the server's; `helpers` (Redis) are reported apart.
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
