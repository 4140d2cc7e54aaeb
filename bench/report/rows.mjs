// @ts-check

/**
 * A row of the table: the figure's label, its unit, and the product's goal.
 *
 * `goal.isMet` gets the product's own median and a function that looks up others: `of(id, peer)` is NaN if not measured.
 * @typedef {(id: string, peer: string) => number} Of
 * @typedef {{
 *   id: string, label: string, unit: string, better: 'lower' | 'higher',
 *   goal?: { text: string, isMet: (value: number, of: Of) => boolean, peer?: 'tidings' | 'tidings (redis)' }
 * }} Row
 */

/** @param {number} limit */
const atMost = limit => (/** @type {number} */ value) => value <= limit
/** @param {number} limit */
const atLeast = limit => (/** @type {number} */ value) => value >= limit

/** @type {Row[]} */
export const ROWS = [
  {
    id: 'broadcast.cpu',
    label: 'CPU per delivery, broadcast at 20/s',
    unit: 'us',
    better: 'lower',
    goal: {
      text: '<= 0.85 x nchan, <= 0.55 x socket.io',
      isMet: (value, of) =>
        value <= 0.85 * of('broadcast.cpu', 'nchan') && value <= 0.55 * of('broadcast.cpu', 'socket.io'),
    },
  },
  { id: 'broadcast.p99', label: 'p99 publish to last socket, broadcast at 20/s', unit: 'ms', better: 'lower' },
  {
    id: 'saturation.rate',
    label: 'saturated broadcast',
    unit: 'deliveries/s',
    better: 'higher',
    goal: {
      text: '>= 1,000,000 and >= 3 x nchan',
      isMet: (value, of) => value >= 1e6 && value >= 3 * of('saturation.rate', 'nchan'),
    },
  },
  {
    id: 'saturation.rate',
    label: 'the same with the redis adapter',
    unit: 'deliveries/s',
    better: 'higher',
    goal: {
      text: 'within 15 % of memory',
      peer: 'tidings (redis)',
      isMet: (value, of) => value >= 0.85 * of('saturation.rate', 'tidings'),
    },
  },
  {
    id: 'saturation.batch',
    label: 'saturated broadcast, NDJSON batches of 50',
    unit: 'deliveries/s',
    better: 'higher',
  },
  {
    id: 'half.p99',
    label: 'p99 publish to last socket, half of saturation',
    unit: 'ms',
    better: 'lower',
    goal: { text: '<= 100', isMet: atMost(100) },
  },
  {
    id: 'unicast.cpu',
    label: 'CPU per publish over HTTP, delivery to one connection included',
    unit: 'us',
    better: 'lower',
    goal: { text: '<= 75', isMet: atMost(75) },
  },
  {
    id: 'batch.cpu',
    label: 'CPU per event in an NDJSON batch of 100',
    unit: 'us',
    better: 'lower',
    goal: { text: '<= 12', isMet: atMost(12) },
  },
  { id: 'emitter.cpu', label: 'CPU per event through the emitter (gateway only)', unit: 'us', better: 'lower' },
  { id: 'emitter.batch', label: 'the same, in batches of 100', unit: 'us', better: 'lower' },
  {
    id: 'unfollowed.cpu',
    label: 'CPU per event from Redis that nobody here follows, emitted one by one',
    unit: 'us',
    better: 'lower',
    goal: { text: '<= 4', peer: 'tidings (redis)', isMet: atMost(4) },
  },
  {
    id: 'unfollowed.batch',
    label: 'the same, emitted in batches of 100',
    unit: 'us',
    better: 'lower',
  },
  {
    id: 'replicas.p50',
    label: 'p50 publish on A to socket on B',
    unit: 'ms',
    better: 'lower',
    goal: { text: '<= 1', peer: 'tidings (redis)', isMet: atMost(1) },
  },
  {
    id: 'replicas.p99',
    label: 'p99 publish on A to socket on B',
    unit: 'ms',
    better: 'lower',
    goal: { text: '<= 6', peer: 'tidings (redis)', isMet: atMost(6) },
  },
  {
    id: 'idle.memory',
    label: 'resident memory per idle connection',
    unit: 'KiB',
    better: 'lower',
    goal: { text: '<= 10', isMet: atMost(10) },
  },
  {
    id: 'heartbeats.cpu',
    label: 'CPU of idle connections with heartbeats',
    unit: '% of a core',
    better: 'lower',
    goal: { text: '<= 2', isMet: atMost(2) },
  },
  {
    id: 'connect.rate',
    label: 'new streams',
    unit: 'per s',
    better: 'higher',
    goal: { text: '>= 5,000', isMet: atLeast(5000) },
  },
  {
    id: 'connect.jwt',
    label: 'new streams, each with a JWT of its own',
    unit: 'per s',
    better: 'higher',
    goal: { text: '>= 3,500', isMet: atLeast(3500) },
  },
  {
    id: 'storm.rooms.seconds',
    label: 'storm, missed events in shared rooms: all caught up',
    unit: 's',
    better: 'lower',
    goal: { text: '<= 6', isMet: atMost(6) },
  },
  {
    id: 'storm.rooms.live',
    label: "the same: p99 of others' live events",
    unit: 'ms',
    better: 'lower',
    goal: { text: '<= 500', isMet: atMost(500) },
  },
  {
    id: 'storm.users.seconds',
    label: "storm, missed events in each user's own room: all caught up",
    unit: 's',
    better: 'lower',
    goal: { text: '<= 6', isMet: atMost(6) },
  },
  {
    id: 'storm.users.live',
    label: "the same: p99 of others' live events",
    unit: 'ms',
    better: 'lower',
    goal: { text: '<= 500', isMet: atMost(500) },
  },
  { id: 'slow.reading', label: 'p99 publish to last socket while some are flooded', unit: 'ms', better: 'lower' },
  { id: 'slow.p99', label: 'the same while those do not read', unit: 'ms', better: 'lower' },
  { id: 'slow.memory', label: 'memory that the stalled readers cost at most', unit: 'MB', better: 'lower' },
  { id: 'room.cpu', label: 'CPU per delivery, one room of many followers', unit: 'us', better: 'lower' },
  { id: 'room.p99', label: 'p99 publish to last socket, the same', unit: 'ms', better: 'lower' },
  { id: 'rooms.cpu', label: 'CPU per publish, many rooms of one follower', unit: 'us', better: 'lower' },
]
