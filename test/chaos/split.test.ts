import t, { type Test } from 'tap'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { startRedis } from '../helpers/redis.js'
import type { Book } from './book.js'
import { Crowd } from './crowd.js'
import { atEvent, type Doctor, startDoctoring, swapAt } from './doctor.js'
import { createHttpDoor } from './doors.js'
import { Ledger } from './ledger.js'
import { publishAll } from './presses.js'
import { startLink } from './proxy.js'
import { Random } from './random.js'

t.jobs = 4

type Side = 'first' | 'last'
type Doctors = Partial<Record<Side, Doctor>>

const leaveAsIs: Doctor = block => [block]
const dropAt = (nth: number) => atEvent(nth, () => [])
const gaps = (book: Book) => book.announcements.filter(({ isFirst }) => !isFirst).length

/**
 * Plays a split brain: the first of two gateways goes over to the new primary while the last one still publishes to the old one.
 * Each doctor treats one reader.
 *
 *   number  published by   position              seen by readers of the first gateway as, of the last as
 *    0 - 9  first          old epoch, 1 to 10    1st to 10th                              1st to 10th
 *   10, 11  last           old epoch, 11, 12     never: told when they go over            11th, 12th
 *   12 - 16 first          next epoch, 11 to 15  11th to 15th                             18th to 22nd
 *   17 - 21 last           old epoch, 13 to 17   never: told when the last one goes over  13th to 17th
 *   22 - 26 first          third epoch           16th to 20th                             23rd to 27th
 */
async function playSplit(t: Test, { first = leaveAsIs, last = leaveAsIs }: Doctors, { lastComesOver = true } = {}) {
  const old = await startRedis(t)
  const next = await startRedis(t, { replicaOf: old.port })
  const links = { first: await startLink(t, old.port), last: await startLink(t, old.port) }
  const start = ({ port }: { port: number }) => startApp(t, { adapter: 'redis', redisUrl: `redis://127.0.0.1:${port}` })
  const gateways = { first: await start(links.first), last: await start(links.last) }
  const urls = { first: gateways.first.url, last: gateways.last.url }
  const ledger = new Ledger()
  ledger.forgive(0, Number.POSITIVE_INFINITY, 'a split')
  // Readers are assigned to these URLs in turn.
  const doctored = [await startDoctoring(t, urls.first, first, 1), await startDoctoring(t, urls.last, last, 1)]
  const crowd = new Crowd({
    ledger,
    random: new Random(1),
    urls: doctored,
    readers: 4,
    users: ['u0', 'u1', 'u2', 'u3'],
    rooms: ['a', 'b', 'c'],
    stalling: 0,
    churnMs: 0,
  })
  t.teardown(() => crowd.close())
  await crowd.open()
  const publish = async (side: Side, count: number) => {
    const door = createHttpDoor(
      side,
      () => urls[side],
      () => {},
    )
    for (let sent = 0; sent < count; sent++) await publishAll(door, ledger, ['*'])
    door.close()
  }
  const changeOver = async (side: Side) => {
    await links[side].close()
    return () => startLink(t, next.port, links[side].port)
  }
  // The books are in the order of the URLs.
  const [treatedFirst, treatedLast, atFirst, atLast] = ledger.books
  const untilTold = (times: number) => waitFor(() => atFirst && gaps(atFirst) === times, 15_000, 'the gap')
  const untilSeen = (book: Book | undefined, n: number) => waitFor(() => book?.hasSeen(n), 5000, `event ${n}`)

  await publish('first', 10)
  const offsetOf = async (server: typeof old) =>
    /master_repl_offset:(\d+)/.exec(String(await server.command('INFO', 'replication')))?.[1]
  await waitFor(async () => (await offsetOf(old)) === (await offsetOf(next)), 10_000, 'the replica to have everything')
  await next.command('REPLICAOF', 'NO', 'ONE')
  await untilSeen(atFirst, 9)
  const openFirst = await changeOver('first')
  await publish('last', 2)
  await openFirst()
  await untilTold(1)
  await publish('first', 5)
  await publish('last', 5)
  await untilSeen(atLast, 21)
  if (lastComesOver) {
    const openLast = await changeOver('last')
    await openLast()
    await untilTold(2)
  } else {
    await gateways.last.app.close()
    // A reader knows its replica by the URL that it connects to, which may be a doctor's.
    for (const url of [urls.last, doctored[1]]) ledger.bearers.end(new URL(url ?? '').host, performance.now())
    // They would come back after some seconds, but nobody waits for that.
    for (const book of [treatedLast, atLast]) book?.close(performance.now())
  }
  await publish('first', 5)
  const waitedFor = lastComesOver ? ledger.books : [treatedFirst, atFirst]
  const isOver = () => ledger.publications.length === 27 && waitedFor.every(book => book?.hasSeen(26))
  await waitFor(isOver, 15_000, 'the last event everywhere')
  return ledger.reconcile()
}

const GAP = 'event: stream.gap'

function swallowGap(nth: number): Doctor {
  let told = 0
  return block => (block.includes(GAP) && ++told === nth ? [] : [block])
}

/** `told` is the number of announced losses: the events that two readers never see, less those that a doctor hides. */
const cases: { name: string; doctors: () => Doctors; expected: object; named: RegExp; told?: number }[] = [
  { name: 'passes everything', doctors: () => ({}), expected: {}, named: /^$/ },
  {
    name: 'drops what was published before the split',
    doctors: () => ({ first: dropAt(5) }),
    expected: { 'silently lost': 1 },
    named: /^reader 0 \(u0\) never saw event 4 of \* \(\w+-5\) and was not told$/,
  },
  {
    name: 'drops what the new primary took',
    doctors: () => ({ first: dropAt(12) }),
    expected: { 'silently lost': 1 },
    named: /^reader 0 \(u0\) never saw event 13 of \* \(\w+-12\) and was not told$/,
  },
  {
    name: 'drops what the old primary took, at a reader who still heard it',
    doctors: () => ({ last: dropAt(14) }),
    expected: { 'silently lost': 1 },
    named: /^reader 1 \(u1\) never saw event 18 of \* \(\w+-14\) and was not told$/,
  },
  {
    name: 'repeats what the new primary took',
    doctors: () => ({ first: atEvent(12, block => [block, block]) }),
    expected: { duplicated: 1 },
    named: /^reader 0 \(u0\) saw event 13 of \* \(\w+-12\) again, after \w+-12$/,
  },
  {
    name: 'swaps what the new primary took',
    doctors: () => ({ first: swapAt(12) }),
    expected: { reordered: 1 },
    named: /^reader 0 \(u0\) saw event 13 of \* \(\w+-12\) after \w+-13$/,
  },
  {
    name: 'does not tell of the change of primaries',
    doctors: () => ({ first: swallowGap(1) }),
    told: 12,
    expected: { 'silently lost': 2 },
    named: /^reader 0 \(u0\) never saw event 10 of \* \(\w+-11\) and was not told$/,
  },
  {
    name: 'does not tell that the old primary went on',
    doctors: () => ({ first: swallowGap(2) }),
    told: 9,
    expected: { 'silently lost': 5 },
    named: /^reader 0 \(u0\) never saw event 17 of \* \(\w+-13\) and was not told$/,
  },
]

for (const { name, doctors, expected, named, told = 14 } of cases) {
  t.test(`in a split, a stream that ${name} is accounted for`, async t => {
    const { counts, violations } = await playSplit(t, doctors())
    t.same(Object.fromEntries(violations.counts), expected)
    t.match(violations.kept[0]?.what ?? '', named)
    t.equal(counts.acknowledged, 27)
    t.equal(counts.announcedLost, told)
  })
}

t.test('what only a gateway knew that ended before it came over has a count of its own', async t => {
  const { counts, violations } = await playSplit(t, {}, { lastComesOver: false })
  t.same(Object.fromEntries(violations.counts), {})
  t.match(counts, { untold: 10, announcedLost: 4, silentlyLost: 0 })
})

t.test('where it ended too, a stream that drops what the new primary took is accounted for', async t => {
  const { counts, violations } = await playSplit(t, { first: dropAt(12) }, { lastComesOver: false })
  t.same(Object.fromEntries(violations.counts), { 'silently lost': 1 })
  t.match(counts, { untold: 10, announcedLost: 4 })
})
