// @ts-check
import { parseArgs } from 'node:util'

/**
 * Every number of a run: its default, its value with --quick, and its meaning.
 * @satisfies {Record<string, [full: number, quick: number, meaning: string]>}
 */
const NUMBERS = {
  calm: [20, 1, 'seconds to wait, at most, for others on the machine to be quiet before a run'],
  runs: [3, 1, 'runs of each scenario and peer; the median counts (the charts are drawn once)'],
  connections: [2000, 300, 'connections of broadcast, saturation, unicast, batch, emitter'],
  seconds: [6, 1, 'how long events are published in each measurement'],
  'warm-up': [
    2,
    0.5,
    'how long the same is done before that: the first events run through code that is not compiled yet',
  ],
  rate: [20, 20, 'broadcasts a second'],
  bytes: [110, 110, 'bytes of a payload'],
  window: [200, 100, 'events in flight at saturation'],
  'unicast-window': [64, 32, 'publishes to single users in flight, over 16 connections'],
  'batch-window': [1000, 400, 'events in flight in NDJSON batches of 100'],
  'emitter-rate': [4000, 1000, 'events a second through the emitter'],
  'emitter-batch-rate': [10_000, 5000, 'the same in batches of 100'],
  'unfollowed-rate': [10_000, 3000, 'events a second for rooms that nobody follows, one by one and in batches of 100'],
  'replica-rate': [1000, 500, 'events a second from one replica to another'],
  'idle-connections': [15_000, 1000, 'idle connections whose memory is measured'],
  'heartbeat-connections': [10_000, 500, 'idle connections whose heartbeats are measured'],
  'heartbeat-seconds': [50, 2, 'how long their CPU is measured: two heartbeats of 25 s'],
  'connect-connections': [5000, 500, 'streams opened one after the other'],
  'connect-concurrency': [200, 100, 'of them opening at a time'],
  'storm-connections': [10_000, 500, 'connections cut at once'],
  'storm-missed': [50, 10, 'events that each of them missed'],
  'storm-rooms': [100, 10, 'rooms they are spread over, beside the run with a room of their own each'],
  'slow-readers': [200, 30, 'connections that stop reading'],
  'slow-seconds': [10, 3, 'how long they are flooded'],
  'room-connections': [10_000, 500, 'followers of one room; and rooms with one follower each'],
}

const HELP = `Usage: npm run bench -- [options]

  --scenario a,b    only these scenarios (--list names them)
  --peers a,b       only these peers
  --quick           small numbers: shows that everything runs, in about a minute; proves no figure
  --profile FOLDER  each gateway writes a CPU profile there when it ends
  --write           puts the table and the charts into bench/README.md, bench/results/ and bench/charts/
  --list            names scenarios and peers
  --help

Numbers (default, with --quick):
${Object.entries(NUMBERS)
  .map(
    ([name, [full, quick, meaning]]) =>
      `  --${name.padEnd(22)} ${String(full).padStart(6)} ${String(quick).padStart(5)}  ${meaning}`,
  )
  .join('\n')}
`

/**
 * @typedef {Record<keyof typeof NUMBERS, number>} Numbers
 * @typedef {{
 *   scenarios: string[] | undefined, peers: string[] | undefined, quick: boolean, write: boolean, list: boolean,
 *   profile: string | undefined, numbers: Numbers
 * }} Options
 */

/**
 * Reads the command line. If it is wrong, prints the mistake and ends the process.
 * @param {string[]} args
 * @returns {Options}
 */
export function readOptions(args) {
  try {
    return parse(args)
  } catch (error) {
    process.stderr.write(`${/** @type {Error} */ (error).message}\n\n${HELP}`)
    process.exit(2)
  }
}

/** @param {string[]} args @returns {Options} */
function parse(args) {
  const { values } = parseArgs({
    args,
    options: {
      scenario: { type: 'string' },
      peers: { type: 'string' },
      quick: { type: 'boolean', default: false },
      profile: { type: 'string' },
      write: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      ...Object.fromEntries(Object.keys(NUMBERS).map(name => [name, { type: /** @type {const} */ ('string') }])),
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    process.exit(0)
  }
  if (values.quick && values.write) throw new Error('--write needs a full run: --quick proves no figure')
  const given = /** @type {Record<string, string | undefined>} */ (/** @type {unknown} */ (values))
  return {
    scenarios: given.scenario?.split(','),
    peers: given.peers?.split(','),
    quick: values.quick === true,
    write: values.write === true,
    list: values.list === true,
    profile: given.profile,
    numbers: /** @type {Numbers} its keys are those of NUMBERS */ (
      Object.fromEntries(
        Object.entries(NUMBERS).map(([name, [full, quick]]) => [
          name,
          numberOf(name, given[name], values.quick ? quick : full),
        ]),
      )
    ),
  }
}

/**
 * @param {string} name
 * @param {string | undefined} text
 * @param {number} otherwise
 */
function numberOf(name, text, otherwise) {
  if (text === undefined) return otherwise
  const number = Number(text)
  if (!Number.isFinite(number) || number <= 0) throw new Error(`--${name} is '${text}' but must be a number above 0`)
  return number
}
