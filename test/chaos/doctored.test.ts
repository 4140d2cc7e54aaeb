import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { freePort } from '../helpers/ports.js'
import type { Owner } from '../helpers/scope.js'
import { Crowd } from './crowd.js'
import { createHttpDoor } from './doors.js'
import { Ledger } from './ledger.js'
import { publishAll } from './presses.js'
import { Random } from './random.js'

const READERS = 4
const EVENTS = 30

/** Gets the blocks of one stream in turn and says what the reader gets instead. */
type Doctor = (block: string) => string[]

/** A proxy before a gateway that lets a doctor at the streams through it: at the first `patients` of them. */
async function startDoctoring(owner: Owner, targetUrl: string, doctor: Doctor, patients: number): Promise<string> {
  const port = await freePort()
  const sockets = new Set<Socket>()
  let streams = 0
  const server = createServer(reader => {
    const gateway = connect(Number(new URL(targetUrl).port), '127.0.0.1')
    const edit = streams++ < patients ? doctor : (block: string) => [block]
    for (const socket of [reader, gateway]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        reader.destroy()
        gateway.destroy()
      })
    }
    reader.pipe(gateway)
    let rest = ''
    let isBody = false
    gateway.setEncoding('latin1').on('data', text => {
      rest += text
      if (!isBody && rest.includes('\r\n\r\n')) {
        const end = rest.indexOf('\r\n\r\n') + 4
        reader.write(rest.slice(0, end), 'latin1')
        rest = rest.slice(end)
        isBody = true
      }
      const blocks = isBody ? rest.split('\n\n') : [rest]
      rest = blocks.pop() ?? ''
      for (const block of blocks) for (const shown of edit(block)) reader.write(`${shown}\n\n`, 'latin1')
    })
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  owner.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${port}`
}

/** Edits the tenth event. */
function atTenthEvent(edit: (block: string) => string[]): Doctor {
  let events = 0
  return block => (block.includes('event: chaos') && ++events === 10 ? edit(block) : [block])
}

function swapTenth(): Doctor {
  let held: string | undefined
  const tenth = atTenthEvent(block => {
    held = block
    return []
  })
  return block => {
    if (held === undefined) return tenth(block)
    const both = [block, held]
    held = undefined
    return both
  }
}

const cases: { name: string; doctor: () => Doctor; expected: object; named: RegExp }[] = [
  { name: 'passes every event', doctor: () => block => [block], expected: {}, named: /^$/ },
  {
    name: 'drops one event',
    doctor: () => atTenthEvent(() => []),
    expected: { 'silently lost': 1 },
    named: /^reader \d \(u\d\) never saw event 9 of \* \(\w+-10\) and was not told$/,
  },
  {
    name: 'repeats one event',
    doctor: () => atTenthEvent(block => [block, block]),
    expected: { duplicated: 1 },
    named: /^reader \d \(u\d\) saw event 9 of \* \(\w+-10\) again, after \w+-10$/,
  },
  {
    name: 'swaps two events',
    doctor: swapTenth,
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
