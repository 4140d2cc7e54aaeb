import fc from 'fast-check'
import t from 'tap'
import { History } from '../../../src/bus/history.js'
import type { Event } from '../../../src/event.js'
import { eventAt } from '../../helpers/scripted-bus.js'

const make = (more: Partial<ConstructorParameters<typeof History>[0]> = {}, seq = 0) =>
  new History({ historySize: 100, historyTtlMs: 1_000, limitBytes: 1e9, now: () => 0, ...more }, { epoch: 'k', seq })
const LARGE = { data: `"${'x'.repeat(200)}"` }
/** Reads one room of the history after `seq`. */
const look = (history: History, room: string, seq: number) => {
  const isWhole = history.lostOf([room], seq).length === 0
  return { events: history.after([room], seq, Number.POSITIVE_INFINITY).events, isWhole }
}
const seqs = (events: readonly Event[]) => events.map(event => event.cursor.seq)

t.test('a history that begins in the middle knows nothing of what was before', async t => {
  const history = make({}, 10)
  t.same(look(history, 'room', 9), { events: [], isWhole: false })
  t.same(look(history, 'room', 10), { events: [], isWhole: true })
  history.append(eventAt(11))
  t.notOk(look(history, 'room', 9).isWhole)
  t.ok(look(history, 'room', 10).isWhole)
})

t.test('past the byte limit the least recently active rooms are forgotten, and read as lost', async t => {
  const history = make({ limitBytes: 5_000 })
  for (let seq = 1; seq <= 20; seq++) history.append(eventAt(seq, `room:${Math.ceil(seq / 5)}`, LARGE))
  t.notOk(look(history, 'room:1', 0).isWhole)
  t.notOk(look(history, 'room:2', 0).isWhole)
  t.ok([1, 2, 3, 4].every(n => look(history, `room:${n}`, 19).isWhole))
  t.same(seqs(look(history, 'room:3', 10).events), [11, 12, 13, 14, 15])
  history.append(eventAt(21, 'room:3', LARGE))
  for (let seq = 22; seq <= 26; seq++) history.append(eventAt(seq, 'room:5', LARGE))
  t.notOk(look(history, 'room:4', 15).isWhole, 'room:3 was active after it')
  t.same(seqs(look(history, 'room:3', 10).events), [11, 12, 13, 14, 15, 21])
})

t.test('one room alone past the byte limit loses its oldest events', async t => {
  const history = make({ limitBytes: 1_600, historySize: 1_000 })
  for (let seq = 1; seq <= 50; seq++) history.append(eventAt(seq, 'room', LARGE))
  const { events, isWhole } = look(history, 'room', 0)
  t.notOk(isWhole)
  t.ok(events.length > 0 && events.length <= 5)
  t.equal(events.at(-1)!.cursor.seq, 50)
})

t.test(
  'an event comes out as it went in, whatever script it is written in and however the room grew before',
  async t => {
    const events = fc.array(
      fc.record({
        type: fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
        value: fc.string({ unit: 'binary', maxLength: 300 }),
      }),
      { minLength: 1, maxLength: 80 },
    )
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 20 }), (events, historySize) => {
        const history = make({ historySize })
        const all = events.map(({ type, value }, i) =>
          eventAt(2 ** 40 + i, 'room', { type, data: JSON.stringify(value), at: 1_795_264_054_410 + i }),
        )
        for (const event of all) history.append(event)
        t.same(look(history, 'room', 0).events, all.slice(-historySize))
      }),
      { numRuns: 200 },
    )
  },
)

t.test('a trim drops idle rooms and keeps the proof', async t => {
  let now = 1_000
  const history = make({ now: () => now })
  history.append(eventAt(1, 'idle'))
  now = 2_500
  history.append(eventAt(2, 'busy', { at: 2_500 }))
  history.trim()
  t.notOk(look(history, 'idle', 0).isWhole)
  t.ok(look(history, 'idle', 1).isWhole)
  t.same(seqs(look(history, 'busy', 1).events), [2])
  t.ok(look(history, 'never', 2).isWhole)
  t.notOk(look(history, 'never', 0).isWhole, 'it might be one that was forgotten')
})

t.test('whatever was appended, trimmed and forgotten: what is called whole is whole', async t => {
  const step = fc.record({
    room: fc.constantFrom('a', 'b', 'c'),
    ephemeral: fc.boolean(),
    waits: fc.nat(30),
    trims: fc.boolean(),
  })
  let proven = 0
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 0, max: 5 }),
      fc.constantFrom(1_100, 2_300, 1e9),
      (steps, historySize, limitBytes) => {
        let now = 0
        const all: Event[] = []
        const history = make({ historySize, limitBytes, historyTtlMs: 200, now: () => now })
        for (const { room, ephemeral, waits, trims } of steps) {
          now += waits
          const event = eventAt(all.length + 1, room, { at: now, ephemeral })
          all.push(event)
          history.append(event)
          if (trims) history.trim()
          for (const each of ['a', 'b', 'c', 'never']) {
            for (let after = 0; after <= all.length; after++) {
              const { events, isWhole } = look(history, each, after)
              if (!isWhole) continue
              proven++
              const expected = all.filter(
                ({ room, cursor, ephemeral }) => room === each && cursor.seq > after && !ephemeral,
              )
              if (JSON.stringify(events) !== JSON.stringify(expected)) throw new Error(`${each} after ${after}`)
            }
          }
        }
      },
    ),
  )
  t.ok(proven > 1_000)
})

t.test('pages of any size that follow each other hold what one page holds, in bus order', async t => {
  const event = fc.record({ room: fc.constantFrom('a', 'b', 'c'), size: fc.nat(400) })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.integer({ min: 1, max: 1_500 }), (events, limitBytes) => {
      const history = make()
      const rooms = ['a', 'never', 'c', 'b']
      for (const [i, { room, size }] of events.entries())
        history.append(eventAt(i + 1, room, { data: 'x'.repeat(size) }))
      const seen: Event[] = []
      for (let seq = 0, hasMore = true; hasMore; seq = seen.at(-1)?.cursor.seq ?? 0) {
        const page = history.after(rooms, seq, limitBytes)
        const [last, ...others] = page.events.map(each => each.data.length + each.room.length + 4 + 100).reverse()
        t.ok(others.reduce((sum, bytes) => sum + bytes, 0) < limitBytes, 'only the last event may pass the limit')
        t.equal(page.events.length > 0, last !== undefined)
        seen.push(...page.events)
        hasMore = page.hasMore
      }
      t.same(
        seqs(seen),
        events.map((_, i) => i + 1),
      )
    }),
  )
})
