import t from 'tap'
import type { Book } from './book.js'
import { Ledger } from './ledger.js'

/** A ledger with one reader, and with acknowledged events of room 'a' at these positions: sent at 10, 20, .. and answered 5 later. */
function keep(...ids: string[]): { ledger: Ledger; book: Book } {
  const ledger = new Ledger()
  ledger.forgive(0, Number.POSITIVE_INFINITY, 'a split')
  for (const [index, id] of ids.entries()) {
    const at = 10 * (index + 1)
    ledger.acknowledge(ledger.send('a', 'somebody', at), id, at + 5)
  }
  const book = ledger.openBook('reader', ['a'])
  book.connect('', 0)
  book.open(null, 'old-0', 1)
  return { ledger, book }
}

const kinds = (ledger: Ledger) => Object.fromEntries(ledger.reconcile().violations.counts)

/** Puts a reader that saw both events of the next epoch back to the old one. There it is told of a loss and sees one event. */
function putBack(book: Book): void {
  book.event(0, 'a', 'old-1', 15)
  book.gap(['a'], '', 18)
  book.event(1, 'a', 'new-2', 25)
  book.event(2, 'a', 'new-3', 35)
  book.connect('new-3', 36)
  book.open(false, '', 37)
  book.event(3, 'a', 'old-2', 45)
}

const SPLIT = ['old-1', 'new-2', 'new-3', 'old-2', 'new-4']

t.test('a reader that was put back to an old primary may see again, once, what it saw of the new one', async t => {
  const { ledger, book } = keep(...SPLIT)
  putBack(book)
  book.gap(['a'], '', 48)
  for (const [n, id] of [
    [1, 'new-2'],
    [2, 'new-3'],
    [4, 'new-4'],
  ] as const)
    book.event(n, 'a', id, 60)
  const { counts, violations } = ledger.reconcile()
  t.same(Object.fromEntries(violations.counts), {})
  t.equal(counts.repeated, 2)
})

t.test(
  'of what it may see again nothing comes a third time, nothing out of order, and nothing of the old primary',
  async t => {
    const thirdTime = keep(...SPLIT)
    putBack(thirdTime.book)
    for (const at of [60, 61]) thirdTime.book.event(1, 'a', 'new-2', at)
    t.match(kinds(thirdTime.ledger), { duplicated: 1 })

    const swapped = keep(...SPLIT)
    putBack(swapped.book)
    swapped.book.event(2, 'a', 'new-3', 60)
    swapped.book.event(1, 'a', 'new-2', 61)
    t.match(kinds(swapped.ledger), { duplicated: 1 })

    const sameAgain = keep(...SPLIT)
    putBack(sameAgain.book)
    sameAgain.book.event(3, 'a', 'old-2', 60)
    t.match(kinds(sameAgain.ledger), { duplicated: 1 })
  },
)

t.test('behind where it was put back from, a repeat is a repeat', async t => {
  const { ledger, book } = keep(...SPLIT)
  putBack(book)
  book.event(4, 'a', 'new-4', 60)
  book.event(4, 'a', 'newest-4', 61)
  t.match(kinds(ledger), { duplicated: 1 })
})

t.test('nobody is put back without being told', async t => {
  const { ledger, book } = keep(...SPLIT)
  book.event(1, 'a', 'new-2', 25)
  book.connect('new-2', 36)
  book.open(true, '', 37)
  book.event(3, 'a', 'old-2', 45)
  t.match(kinds(ledger), { reordered: 1 })
})

t.test(
  'what an old primary took later is covered by an announcement that brings another epoch, and by no other',
  async t => {
    for (const [brought, lost] of [
      ['third-4', {}],
      ['new-4', { 'silently lost': 1 }],
    ] as const) {
      // The old primary acknowledges the last one long after the reader has changed epochs.
      const { ledger, book } = keep('old-1', 'new-2', 'new-3', 'old-2')
      book.event(0, 'a', 'old-1', 15)
      book.gap(['a'], '', 18)
      book.event(1, 'a', 'new-2', 25)
      book.event(2, 'a', 'new-3', 35)
      book.gap(['a'], '', 50)
      book.position(brought, 51)
      t.same(kinds(ledger), lost, brought)
    }
  },
)

t.test('an announcement covers nothing that came into the next epoch and lies before an id of it', async t => {
  // Both epochs have the numbers up to 3; the new epoch counts on from there.
  const { ledger, book } = keep('old-1', 'old-2', 'old-3', 'new-4')
  book.event(0, 'a', 'old-1', 15)
  book.event(2, 'a', 'old-3', 35)
  book.gap(['a'], '', 38)
  book.event(3, 'a', 'new-4', 45)
  book.gap(['a'], '', 50)
  book.position('third-4', 51)
  t.same(kinds(ledger), { 'silently lost': 1 })
  t.match(ledger.violations.kept[0]?.what, 'reader never saw event 1 of a (old-2) and was not told')
})

t.test('who comes to a new epoch untold is not told by what is announced later', async t => {
  const { ledger, book } = keep('old-1', 'old-2', 'new-2')
  book.event(0, 'a', 'old-1', 15)
  book.event(2, 'a', 'new-2', 35)
  book.gap(['a'], '', 50)
  book.position('third-3', 51)
  t.same(kinds(ledger), { 'silently lost': 1 })
})

t.test('what an old primary took is untold only where everybody who had it ended before coming over', async t => {
  const play = (prepare: (ledger: Ledger) => void) => {
    const { ledger, book } = keep('old-1', 'new-2', 'new-3', 'old-2')
    book.event(0, 'a', 'old-1', 15)
    book.gap(['a'], '', 18)
    book.event(1, 'a', 'new-2', 25)
    book.event(2, 'a', 'new-3', 35)
    const lost = ledger.publications[3]
    if (lost) lost.bearers = 0
    prepare(ledger)
    const { counts } = ledger.reconcile()
    return [counts.untold, counts.silentlyLost]
  }
  const give = ({ bearers, publications }: Ledger, ...names: string[]) => {
    for (const name of names) for (const publication of publications.slice(3)) bearers.give(publication, name)
  }
  const untold = [1, 0]
  const silent = [0, 1]
  t.same(
    play(ledger => {
      give(ledger, 'A')
      ledger.bearers.end('A', 60)
    }),
    untold,
    'the only one ended',
  )
  t.same(
    play(ledger => give(ledger, 'A')),
    silent,
    'it lives',
  )
  t.same(
    play(ledger => {
      give(ledger, 'A', 'B')
      ledger.bearers.end('A', 60)
    }),
    silent,
    'another one lives',
  )
  t.same(
    play(ledger => {
      give(ledger, 'A')
      ledger.bearers.end('A', 44)
    }),
    silent,
    'it had ended before',
  )
  t.same(
    play(ledger => {
      give(ledger, 'A')
      ledger.bearers.arrive('A', 1, 50)
      ledger.bearers.end('A', 60)
    }),
    silent,
    'it had come over',
  )
  t.same(
    play(ledger => {
      give(ledger, 'A')
      ledger.bearers.end('A', 30_000)
    }),
    silent,
    'it ended long after',
  )
})

t.test('nothing is untold that an id of the reader vouched for', async t => {
  const { ledger, book } = keep('old-1', 'old-2', 'new-2', 'new-3')
  book.event(0, 'a', 'old-1', 15)
  // The reader comes to the next epoch without an announcement, and that epoch has a hole as well.
  book.event(3, 'a', 'new-3', 45)
  ledger.bearers.end('somebody', 60)
  t.same(kinds(ledger), { 'silently lost': 2 })
})

/** A reader that went on with an old primary to old-3, while the next epoch parted from it at 2. It then comes to that epoch. */
function comeOver(resumed: boolean, lastSeen: number): Ledger {
  const { ledger, book } = keep('old-1', 'old-2', 'old-3')
  const other = ledger.openBook('other', ['a'])
  other.connect('', 0)
  other.open(null, 'old-1', 16)
  other.gap(['a'], '', 20)
  other.event(1, 'a', 'new-2', 26)
  for (let n = 0; n < lastSeen; n++) book.event(n, 'a', `old-${n + 1}`, 15 + 10 * n)
  book.connect(`old-${lastSeen}`, 50)
  book.open(resumed, resumed ? 'new-2' : `new-${lastSeen === 3 ? 2 : 1}`, 51)
  return ledger
}

t.test(
  'a reader that comes over from an old primary may be put where the two parted, if it is told of a loss',
  async t => {
    t.same(kinds(comeOver(false, 3)).reordered ?? 0, 0)
    t.equal(kinds(comeOver(true, 3)).reordered, 1, 'not without a word')
    t.equal(kinds(comeOver(false, 2)).reordered, 1, 'and not when it had not gone on beyond that')
  },
)
