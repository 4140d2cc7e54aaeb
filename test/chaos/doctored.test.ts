import t from 'tap'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import type { Owner } from '../helpers/scope.js'
import { Crowd } from './crowd.js'
import { atEvent, type Doctor, startDoctoring, swapAt } from './doctor.js'
import { createHttpDoor } from './doors.js'
import { Ledger } from './ledger.js'
import { publishAll } from './presses.js'
import { Random } from './random.js'

const READERS = 4
const EVENTS = 30

const cases: { name: string; doctor: () => Doctor; expected: object; named: RegExp }[] = [
  { name: 'passes every event', doctor: () => block => [block], expected: {}, named: /^$/ },
  {
    name: 'drops one event',
    doctor: () => atEvent(10, () => []),
    expected: { 'silently lost': 1 },
    named: /^reader \d \(u\d\) never saw event 9 of \* \(\w+-10\) and was not told$/,
  },
  {
    name: 'repeats one event',
    doctor: () => atEvent(10, block => [block, block]),
    expected: { duplicated: 1 },
    named: /^reader \d \(u\d\) saw event 9 of \* \(\w+-10\) again, after \w+-10$/,
  },
  {
    name: 'swaps two events',
    doctor: () => swapAt(10),
    expected: { reordered: 1 },
    named: /^reader \d \(u\d\) saw event 9 of \* \(\w+-10\) after \w+-11$/,
  },
]

async function stage(owner: Owner, doctor: Doctor, { patients = 1, historySize = 256 } = {}) {
  const { url } = await startApp(owner, { historySize })
  const ledger = new Ledger()
  const readers = {
    ledger,
    random: new Random(1),
    urls: [await startDoctoring(owner, url, doctor, patients)],
    readers: READERS,
    users: ['u0', 'u1'],
    rooms: ['a', 'b', 'c'],
    stalling: 0,
    churnMs: 0,
  }
  const crowd = new Crowd(readers)
  owner.teardown(() => crowd.close())
  await crowd.open()
  const door = createHttpDoor(
    'http',
    () => url,
    () => {},
  )
  owner.teardown(() => door.close())
  return { ledger, crowd, publish: () => publishAll(door, ledger, ['*']) }
}

for (const { name, doctor, expected, named } of cases) {
  t.test(`a stream that ${name} is accounted for`, async t => {
    const { ledger, publish } = await stage(t, doctor())
    for (let sent = 0; sent < EVENTS; sent++) await publish()
    const last = ledger.publications.at(-1)
    await waitFor(() => ledger.books.every(book => book.hasSeen(last?.n ?? -1)), 5000, 'the last event everywhere')
    const { counts, violations } = ledger.reconcile()
    t.equal(counts.acknowledged, EVENTS)
    t.same(Object.fromEntries(violations.counts), expected)
    t.match(violations.kept[0]?.what ?? '', named)
  })
}

t.test('a stream that calls a loss complete is accounted for', async t => {
  for (const lies of [false, true]) {
    const doctor: Doctor = block => [lies ? block.replace('"resumed":false', '"resumed":true') : block]
    const { ledger, crowd, publish } = await stage(t, doctor, { patients: Number.POSITIVE_INFINITY, historySize: 5 })
    await publish()
    const [book] = ledger.books
    await waitFor(() => book?.hasSeen(0), 5000, 'the first event')
    const comeBack = crowd.takeOffline(1)
    ledger.forgive(0, Number.POSITIVE_INFINITY, 'a short history')
    for (let sent = 0; sent < 20; sent++) await publish()
    comeBack()
    const last = ledger.publications.at(-1)
    await waitFor(() => ledger.books.every(one => one.hasSeen(last?.n ?? -1)), 5000, 'the last event everywhere')
    const { counts, violations } = ledger.reconcile()
    const lost = READERS * 15
    t.same(Object.fromEntries(violations.counts), lies ? { 'silently lost': lost } : {}, `lies: ${lies}`)
    t.equal(counts.announcedLost, lies ? 0 : lost)
  }
})
