import fc from 'fast-check'
import t from 'tap'
import { History } from '../../../src/bus/history.js'
import { pageFrom } from '../../../src/bus/replay.js'
import type { Cursor } from '../../../src/cursor.js'
import type { Event } from '../../../src/event.js'
import { type Page, Recovery } from '../../../src/stream/recovery.js'
import { eventAt } from '../../helpers/scripted-bus.js'

const at = (seq: number, epoch = 'k'): Cursor => ({ epoch, seq })
const page = (events: Event[], upTo: number, more: Partial<Page> = {}): Page => ({
  events,
  lost: [],
  upTo: at(upTo),
  hasMore: false,
  ...more,
})
const seqs = (events: readonly Event[]) => events.map(event => event.cursor.seq)

t.test('backlog first, then what was held meanwhile, without what is in both', async t => {
  const recovery = new Recovery(at(5), 10_000)
  t.notOk(recovery.hold(eventAt(8)))
  t.notOk(recovery.hold(eventAt(9)))
  const step = recovery.take(page([eventAt(6), eventAt(8)], 8))
  t.same(seqs(step.events), [6, 8, 9])
  t.ok(step.isLive)
  t.same(recovery.after, at(9))
  t.notOk(recovery.hold(eventAt(9)), 'seen')
  t.ok(recovery.hold(eventAt(10)), 'new: the recovery is over')
  t.ok(recovery.hold(eventAt(11)))
})

t.test('what does not fit is dropped and read from history as one more page', async t => {
  const recovery = new Recovery(at(0), 250)
  for (let seq = 1; seq <= 5; seq++) recovery.hold(eventAt(seq))
  const first = recovery.take(page([eventAt(1)], 1))
  t.notOk(first.isLive)
  t.same(recovery.after, at(1))
  recovery.hold(eventAt(6))
  const second = recovery.take(
    page(
      [2, 3, 4, 5].map(seq => eventAt(seq)),
      5,
    ),
  )
  t.same(seqs(second.events), [2, 3, 4, 5, 6])
  t.ok(second.isLive)
})

t.test('a room is named as lost once for what was lost before, and again for what was lost after', async t => {
  const recovery = new Recovery(at(0), 1_000)
  const lost = ['a', 'b']
  t.same(recovery.take(page([eventAt(1)], 1, { lost: ['a'], hasMore: true }), at(10)).lost, ['a'])
  t.same(recovery.take(page([eventAt(5)], 5, { lost, hasMore: true }), at(11)).lost, ['b'])
  t.same(recovery.take(page([eventAt(10)], 10, { lost, hasMore: true }), at(12)).lost, [])
  t.same(recovery.take(page([eventAt(12)], 12, { lost, hasMore: true }), at(12)).lost, ['a', 'b'])
})

t.test('held events of an epoch that ended are dropped', async t => {
  const recovery = new Recovery(at(5), 1_000)
  recovery.hold(eventAt(6))
  const step = recovery.take({ events: [], lost: ['room'], upTo: at(6, 'n'), hasMore: false })
  t.same(step.events, [])
  t.notOk(recovery.hold(eventAt(7)))
  t.ok(recovery.hold(eventAt(7, 'room', { cursor: at(7, 'n') })))
})

// The bytes that each of these events counts in a page.
const EVENT_BYTES = 110

/**
 * A model: a bus with two rooms, and a replica that hears of each event some steps later. A reader follows one room and resumes at
 * `from`. Between the steps of its recovery events may be published, heard or trimmed.
 */
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant('publish' as const) },
    { weight: 2, arbitrary: fc.constant('publish elsewhere' as const) },
    { weight: 1, arbitrary: fc.constant('publish ephemeral' as const) },
    { weight: 4, arbitrary: fc.constant('hear' as const) },
    { weight: 3, arbitrary: fc.constant('ask' as const) },
    { weight: 3, arbitrary: fc.constant('answer' as const) },
  ),
  { minLength: 10, maxLength: 120 },
)

t.test('any order of pages, slices and live events gives each event once and in order, or names the gap', async t => {
  let gaps = 0
  let whole = 0
  fc.assert(
    fc.property(
      steps,
      fc.record({
        before: fc.nat(20),
        from: fc.nat(20),
        size: fc.integer({ min: 1, max: 12 }),
        slice: fc.integer({ min: 1, max: 6 }),
        limit: fc.constantFrom(0, 250, 600, 10_000),
      }),
      (steps, { before, from, size, slice, limit }) => {
        const history = new History({ historySize: size, historyTtlMs: 1e9, limitBytes: 1e9, now: () => 0 }, at(0))
        const all: Event[] = []
        const publish = (room: string, ephemeral = false) => {
          const event = eventAt(all.length + 1, room, { ephemeral })
          all.push(event)
          history.append(event)
        }
        for (let i = 0; i < before; i++) publish(i % 3 === 2 ? 'other' : 'room')
        const start = Math.min(from, before)
        let heardTo = before
        const recovery = new Recovery(at(start), limit)
        let isOver = false
        let asked: Page | null = null
        const seen: Event[] = []
        const lost: string[] = []
        const ask = () => {
          const { seq } = recovery.after
          const lost = history.lostOf(['room'], seq)
          asked = pageFrom(history, seq, ['room'], lost, at(all.length), slice * EVENT_BYTES)
        }
        const answer = () => {
          const step = recovery.take(asked!, at(heardTo))
          asked = null
          seen.push(...step.events)
          lost.push(...step.lost)
        }
        const hear = () => {
          const event = all[heardTo++]!
          if (event.room !== 'room') return
          if (isOver || recovery.hold(event)) {
            isOver = true
            seen.push(event)
          }
        }
        const take = (step: (typeof steps)[number]) => {
          if (step.startsWith('publish'))
            publish(step === 'publish elsewhere' ? 'other' : 'room', step === 'publish ephemeral')
          else if (step === 'hear' && heardTo < all.length) hear()
          else if (step === 'ask' && recovery.isReading && asked === null) ask()
          else if (step === 'answer' && asked !== null) answer()
        }
        for (const step of steps) take(step)
        while (recovery.isReading) {
          take('ask')
          take('answer')
        }
        publish('room')
        while (heardTo < all.length) hear()

        const numbers = seqs(seen)
        t.same(
          numbers,
          [...new Set(numbers)].sort((a, b) => a - b),
          'each once, in order',
        )
        const expected = all.filter(event => event.room === 'room' && !event.ephemeral && event.cursor.seq > start)
        const missing = expected.filter(event => !numbers.includes(event.cursor.seq))
        t.ok(missing.length === 0 || lost.includes('room'), 'nothing is missing without a word')
        if (lost.length > 0) gaps++
        else whole++
      },
    ),
    { numRuns: 2_000 },
  )
  t.ok(gaps > 50 && whole > 50, `${gaps} runs with a gap, ${whole} without: both were tried`)
})
