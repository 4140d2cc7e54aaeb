// @ts-check
import { broadcast, curves, half, room, saturation, saturationBatch } from './broadcast.mjs'
import { emitter, replicas, unfollowed } from './bus.mjs'
import { connect, connectJwt, heartbeats, idle } from './connections.mjs'
import { slow } from './slow.mjs'
import { storm } from './storm.mjs'
import { batch, rooms, unicast } from './unicast.mjs'

/** In the order they run: `half` and `curves` need what `saturation` found. @type {import('../session.mjs').Scenario[]} */
export const SCENARIOS = [
  broadcast,
  saturation,
  saturationBatch,
  half,
  unicast,
  batch,
  emitter,
  unfollowed,
  replicas,
  idle,
  heartbeats,
  connect,
  connectJwt,
  storm,
  slow,
  room,
  rooms,
  curves,
]
