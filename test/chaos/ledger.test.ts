import t from 'tap'
import type { Book } from './book.js'
import { Ledger } from './ledger.js'
import type { Publication } from './publication.js'
import type { ViolationKind } from './violation.js'

/**
 * A ledger with one reader of the rooms 'a' and 'b', open at e1-0 since time 0. The publications e1-1, e1-2, .. go to room 'a';
 * each is sent at 100 times its seq and acknowledged 10 later.
 */
function begin({ events = 5, rooms = ['a', 'b'] } = {}) {
  const ledger = new Ledger()
  const reader = ledger.openBook('reader', rooms)
  reader.connect('', 0)
  reader.open(null, 'e1-0', 0)
  const published = Array.from({ length: events }, (_, index) =>
    publish(ledger, 'a', `e1-${index + 1}`, (index + 1) * 100),
  )
  return { ledger, reader, published }
}

function publish(ledger: Ledger, room: string, id: string, at: number): Publication {
  const publication = ledger.send(room, 'test', at)
  ledger.acknowledge(publication, id, at + 10)
  return publication
}

function see(reader: Book, publications: Publication[], at = 10_000): void {
  for (const { n, room, position } of publications) reader.event(n, room, `${position?.epoch}-${position?.seq}`, at)
}

function kinds(ledger: Ledger): Partial<Record<ViolationKind, number>> {
  return Object.fromEntries(ledger.reconcile().violations.counts)
}

t.test('a reader that saw everything once and in order leaves no violation', async t => {
  const { ledger, reader, published } = begin()
  see(reader, published)
  const { counts, violations } = ledger.reconcile()
  t.equal(violations.total, 0)
  t.match(counts, { acknowledged: 5, delivered: 5, announcedLost: 0, silentlyLost: 0, duplicated: 0, reordered: 0 })
})

t.test('an event that was dropped is silently lost, and named', async t => {
  const { ledger, reader, published } = begin()
  see(
    reader,
    published.filter(({ n }) => n !== 2),
  )
  t.equal(ledger.owed, 1)
  const { violations } = ledger.reconcile()
  t.same([...violations.counts], [['silently lost', 1]])
  t.equal(violations.kept[0]?.what, 'reader never saw event 2 of a (e1-3) and was not told')
  t.match(violations.kept[0]?.context.join('\n'), /seen around it: 2 before, 4 after/)
})

t.test('the last event that was dropped is silently lost too', async t => {
  const { ledger, reader, published } = begin()
  see(reader, published.slice(0, 4))
  t.same(kinds(ledger), { 'silently lost': 1 })
})

t.test('an event that was repeated is duplicated, and named', async t => {
  const { ledger, reader, published } = begin()
  see(reader, [...published.slice(0, 3), ...published.slice(2)])
  const { violations } = ledger.reconcile()
  t.same([...violations.counts], [['duplicated', 1]])
  t.equal(violations.kept[0]?.what, 'reader saw event 2 of a (e1-3) again, after e1-3')
})

t.test('two events that were swapped are reordered, and named', async t => {
  const { ledger, reader, published } = begin()
  const [first, second, third, ...rest] = published
  see(reader, [first!, third!, second!, ...rest])
  const { violations } = ledger.reconcile()
  t.same([...violations.counts], [['reordered', 1]])
  t.equal(violations.kept[0]?.what, 'reader saw event 1 of a (e1-2) after e1-3')
})

t.test('a gap that names the room covers what is between the positions around it', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 1000, 'test')
  see(reader, published.slice(0, 1), 120)
  reader.gap(['a'], '', 350)
  see(reader, published.slice(3), 600)
  const { counts, violations } = ledger.reconcile()
  t.equal(violations.total, 0)
  t.equal(counts.announcedLost, 2)
})

t.test('a gap in another room covers nothing', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 1000, 'test')
  see(reader, published.slice(0, 1), 120)
  reader.gap(['b'], '', 350)
  see(reader, published.slice(3), 600)
  t.same(kinds(ledger), { 'silently lost': 2 })
})

t.test('a gap that is told after a later position was sent is told too late', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 1000, 'test')
  see(reader, [published[0]!, published[2]!], 320)
  reader.gap(['a'], '', 350)
  see(reader, published.slice(3), 600)
  t.same(kinds(ledger), { 'silently lost': 1 })
})

t.test('the id of a heartbeat vouches for what is before it', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 1000, 'test')
  see(reader, published.slice(0, 1), 120)
  reader.position('e1-2', 220)
  reader.gap(['a'], 'e1-2', 350)
  see(reader, published.slice(2), 600)
  t.same(kinds(ledger), { 'silently lost': 1 })
})

t.test('a gap does not cover what was published after it', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 1000, 'test')
  reader.gap(['a'], '', 290)
  see(reader, published.slice(3), 600)
  t.same(kinds(ledger), { 'silently lost': 1 }, 'e1-3 was sent at 300')
})

t.test('resumed false covers every room, resumed true none', async t => {
  for (const [resumed, losses] of [
    [false, {}],
    [true, { 'silently lost': 1 }],
    [null, { 'silently lost': 1 }],
  ] as const) {
    const { ledger, reader, published } = begin()
    ledger.forgive(0, 1000, 'test')
    see(reader, published.slice(0, 1), 120)
    reader.connect('e1-1', 250)
    reader.open(resumed, '', 260)
    see(reader, published.slice(2), 600)
    t.same(kinds(ledger), losses, `resumed ${resumed}`)
  }
})

t.test('what was before a first visit is not missed, what came after it is', async t => {
  const ledger = new Ledger()
  publish(ledger, 'a', 'e1-1', 100)
  const reader = ledger.openBook('reader', ['a'])
  reader.connect('', 200)
  reader.open(null, 'e1-1', 210)
  publish(ledger, 'a', 'e1-2', 300)
  const { counts, violations } = ledger.reconcile()
  t.same([...violations.counts], [['silently lost', 1]])
  t.equal(counts.announcedLost, 0)
})

t.test('a loss that is announced though Redis lost nothing is a violation', async t => {
  const { ledger, reader, published } = begin()
  see(reader, published.slice(0, 2), 220)
  reader.gap(['a'], '', 290)
  see(reader, published.slice(2), 600)
  t.same(kinds(ledger), { 'needlessly announced': 1 })
})

t.test('a new epoch is no loss by itself, and an old one never comes back', async t => {
  const { ledger, reader, published } = begin()
  see(reader, published.slice(0, 4))
  const next = publish(ledger, 'a', 'e2-1', 900)
  see(reader, [next, published[4]!])
  t.same(kinds(ledger), { reordered: 1 })
})

t.test('one position that stands for two events is a violation', async t => {
  const { ledger, reader, published } = begin()
  see(reader, published)
  const impostor = publish(ledger, 'b', 'e1-5', 900)
  t.equal(impostor.n, 5)
  t.same(kinds(ledger), { 'one position twice': 1, 'silently lost': 1 })
})

t.test('a publish that was repeated with its key may stand in two epochs, never twice in one', async t => {
  for (const [id, expected] of [
    ['e2-1', {}],
    ['e1-7', { 'two positions': 1, duplicated: 1 }],
  ] as const) {
    const { ledger, reader, published } = begin()
    see(reader, published)
    const repeated = ledger.send('a', 'test', 900)
    reader.event(repeated.n, 'a', 'e1-6', 910)
    ledger.doubt(repeated)
    repeated.isRepeated = true
    ledger.acknowledge(repeated, id, 990)
    reader.event(repeated.n, 'a', id, 1000)
    t.same(kinds(ledger), expected, id)
  }
})

t.test('what was refused must not be seen, what is uncertain may be', async t => {
  const { ledger, reader, published } = begin()
  see(reader, published)
  const doubted = ledger.send('a', 'test', 700)
  ledger.doubt(doubted)
  reader.event(doubted.n, 'a', 'e1-6', 720)
  const refused = ledger.send('a', 'test', 800)
  reader.event(refused.n, 'a', 'e1-7', 820)
  ledger.refuse(refused)
  t.same(kinds(ledger), { 'refused but delivered': 1 })
})

t.test("an event of another's room or of nobody's is a violation", async t => {
  const { ledger, reader, published } = begin({ rooms: ['b'] })
  see(reader, published.slice(0, 1))
  reader.event(99, 'b', 'e1-99', 1000)
  t.same(kinds(ledger), { 'wrong room': 1, 'never published': 1 })
})

t.test('a reader that left is owed what its last position vouched for, and no more', async t => {
  const { ledger, reader, published } = begin()
  see(reader, [published[0]!, published[2]!], 320)
  reader.close(330)
  t.same(kinds(ledger), { 'silently lost': 1 })
})

t.test('an epoch that carries on has the old events under its own name, and they are the same events', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 2000, 'test')
  see(reader, published.slice(0, 3), 320)
  reader.gap(['a', 'b'], 'e1-3', 900)
  for (const { n, position } of published.slice(3)) reader.event(n, 'a', `e2-${position?.seq}`, 1000)
  t.same(kinds(ledger), {})
})

t.test('an event seen again under a new epoch is duplicated all the same', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 2000, 'test')
  see(reader, published, 520)
  reader.gap(['a', 'b'], 'e1-5', 900)
  reader.event(4, 'a', 'e2-5', 1000)
  t.same(kinds(ledger), { duplicated: 1 })
})

t.test(
  'what an epoch had beyond the point where the next one carried on must be announced before anything new',
  async t => {
    for (const isEarly of [true, false]) {
      const { ledger, reader, published } = begin()
      ledger.forgive(0, 2000, 'test')
      see(reader, published.slice(0, 3), 320)
      // e2 continues e1 from e1-4 on, so e1-5 is lost.
      if (isEarly) reader.gap(['a'], 'e1-3', 900)
      reader.event(3, 'a', 'e2-4', 950)
      const next = publish(ledger, 'a', 'e2-5', 960)
      see(reader, [next], 980)
      if (!isEarly) reader.gap(['a'], '', 990)
      t.same(kinds(ledger), isEarly ? {} : { 'silently lost': 1 })
    }
  },
)

t.test('a reader that a replica of an old primary refused begins anew there, and may see something again', async t => {
  const { ledger, reader, published } = begin()
  ledger.forgive(0, 20_000, 'test')
  see(reader, published.slice(0, 4), 420)
  reader.gap(['a', 'b'], '', 430)
  const [fromNew] = [publish(ledger, 'a', 'e2-5', 440)]
  see(reader, [fromNew], 460)
  // Its next replica still hears the old primary.
  reader.connect('e2-5', 470)
  reader.open(false, '', 480)
  see(reader, [published[4]!], 520)
  reader.gap(['a', 'b'], '', 600)
  see(reader, [fromNew], 610)
  const { counts, violations } = ledger.reconcile()
  t.same([...violations.counts], [])
  t.equal(counts.repeated, 1)
})

t.test('a new epoch may begin at 0 for a reader that was further in the old one, when it was told', async t => {
  const { ledger, reader, published } = begin()
  see(reader, published, 600)
  ledger.forgive(600, 1_000, 'emptied')
  reader.connect('e1-5', 700)
  reader.open(false, 'e2-0', 710)
  t.same(kinds(ledger), {})
})
