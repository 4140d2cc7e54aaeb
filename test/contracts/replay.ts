import type { Test } from 'tap'
import { type Cursor, formatCursor } from '../../src/cursor.js'
import type { Event } from '../../src/event.js'
import { draft, type openBusWith, payloads, publishOne, readAll, until } from '../helpers/bus.js'
import { waitFor } from '../helpers/deadline.js'

/** The contract of a resume on every bus: the reader gets every event that it missed, or is told of the loss. */
export function testReplay(t: Test, open: ReturnType<typeof openBusWith>): void {
  t.test('a resume from every position gives exactly what was published behind it', async t => {
    const { bus, heard, start } = await open(t)
    for (let n = 0; n < 30; n++) await bus.publish([draft(n % 2 === 0 ? 'even' : 'odd', n)])
    await until(heard, 30)
    const positions = [start, ...heard.events.map(event => event.cursor)]
    for (const [n, after] of positions.entries()) {
      const both = await readAll(bus, after, ['odd', 'even'])
      t.same(
        payloads(both.events),
        Array.from({ length: 30 - n }, (_, i) => n + i),
      )
      t.same(both.lost, [])
      const odd = await readAll(bus, after, ['odd'])
      t.same(
        payloads(odd.events),
        payloads(both.events).filter(value => Number(value) % 2 === 1),
      )
      t.same(odd.lost, [])
      t.equal(formatCursor(odd.upTo), formatCursor(both.upTo), 'complete up to the same position')
    }
  })

  t.test('a resume while events keep arriving misses nothing and repeats nothing', async t => {
    const { bus, heard, start } = await open(t)
    const total = 300
    const publishing = (async () => {
      for (let n = 0; n < total; n++) await bus.publish([draft('room', n)])
    })()
    const seen: Event[] = []
    let after = start
    while (seen.length < total) {
      const page = await bus.replay(after, ['room'])
      t.same(page.lost, [])
      seen.push(...page.events)
      after = page.upTo
      await new Promise(resolve => setImmediate(resolve))
    }
    await publishing
    await until(heard, total)
    t.same(
      payloads(seen),
      Array.from({ length: total }, (_, n) => n),
    )
    t.same(seen, heard.events)
  })

  t.test('history trimmed by count is called lost for what it no longer has, and whole for what it has', async t => {
    const { bus, start } = await open(t, { historySize: 5 })
    const positions: Cursor[] = []
    for (let n = 0; n < 12; n++) positions.push(await publishOne(bus, draft('room', n)))
    t.same((await readAll(bus, start, ['room'])).lost, ['room'])
    for (const [n, after] of positions.entries()) {
      const { events, lost } = await readAll(bus, after, ['room', 'quiet'])
      // A bus may keep more than it must, but it must never call an incomplete history whole.
      if (lost.length === 0)
        t.same(
          payloads(events),
          Array.from({ length: 11 - n }, (_, i) => n + 1 + i),
        )
      else t.same(lost, ['room'])
      if (n >= 6) t.same(lost, [], 'the newest five are there')
    }
  })

  t.test('a history size of 0 keeps nothing and never calls a missed event complete', async t => {
    const { bus, start } = await open(t, { historySize: 0 })
    const position = await publishOne(bus, draft('room', 1))
    t.same((await readAll(bus, start, ['room'])).lost, ['room'])
    t.same(await readAll(bus, position, ['room']), { events: [], lost: [], upTo: position })
  })

  t.test('history trimmed by age is called lost, also when newer events follow', async t => {
    const { bus, start } = await open(t, { historyTtlMs: 30 })
    const first = await publishOne(bus, draft('room', 1))
    const isLost = async () => {
      const { events, lost } = await readAll(bus, start, ['room'])
      if (lost.length === 0) t.same(payloads(events), [1], 'what is not lost is there')
      return lost.length > 0
    }
    await waitFor(isLost, 5_000, 'the event to be too old')
    t.same((await readAll(bus, first, ['room'])).lost, [], 'nothing was missed behind it')
    const second = await publishOne(bus, draft('room', 2))
    t.same((await readAll(bus, start, ['room'])).lost, ['room'])
    const { events, lost } = await readAll(bus, first, ['room'])
    if (lost.length === 0) t.same(payloads(events), [2])
    t.same(await readAll(bus, second, ['room']), { events: [], lost: [], upTo: second })
  })

  t.test('a position of an unknown epoch is never called complete', async t => {
    const { bus, start } = await open(t)
    await bus.publish([draft('room', 1)])
    for (const after of [
      { epoch: 'nosuch', seq: start.seq },
      { epoch: '', seq: 0 },
      { epoch: 'nosuch', seq: 0 },
    ]) {
      const { lost, upTo } = await readAll(bus, after, ['room', 'never'])
      t.same([...lost].sort(), ['never', 'room'])
      t.equal(upTo.epoch, bus.position!.epoch, 'and a position to go on from is given')
    }
  })

  t.test('a position from the future is never called complete', async t => {
    const { bus } = await open(t)
    const { epoch, seq } = await publishOne(bus, draft('room', 1))
    for (const ahead of [1, 1_000, Number.MAX_SAFE_INTEGER - seq]) {
      const { events, lost } = await readAll(bus, { epoch, seq: seq + ahead }, ['room', 'never'])
      t.same(events, [])
      t.same([...lost].sort(), ['never', 'room'])
    }
  })

  t.test('a room that was never published to is complete at every position of this epoch', async t => {
    const { bus, start } = await open(t)
    t.same((await readAll(bus, start, ['never'])).lost, [])
    const position = await publishOne(bus, draft('room', 1))
    for (const after of [start, position]) {
      t.same(await readAll(bus, after, ['never']), { events: [], lost: [], upTo: position })
    }
  })

  t.test('a batch of 1,000 events is published and read back in pages', async t => {
    const { bus, heard, start } = await open(t, { historySize: 2_000 })
    const batch = Array.from({ length: 1_000 }, (_, n) => draft(`room:${n % 7}`, n))
    const answers = await bus.publish(batch)
    await until(heard, 1_000)
    t.same(
      answers.map(published => published.id),
      heard.events.map(event => formatCursor(event.cursor)),
    )
    const rooms = Array.from({ length: 7 }, (_, n) => `room:${n}`)
    const { events, lost } = await readAll(bus, start, rooms)
    t.same(lost, [])
    t.same(
      payloads(events),
      Array.from({ length: 1_000 }, (_, n) => n),
    )
  })

  t.test('a page has about as many bytes as asked for, however many rooms have large events', async t => {
    const { bus, heard, start } = await open(t)
    const rooms = Array.from({ length: 20 }, (_, n) => `room:${n}`)
    const sizes = [10, 20_000, 3, 60_000, 500]
    for (const size of sizes) await bus.publish(rooms.map((room, n) => draft(room, 'x'.repeat(size + n))))
    await until(heard, 100)
    for (const limitBytes of [1, 5_000, 100_000, 1e9]) {
      const seen: Event[] = []
      let pages = 0
      for (let after = start, hasMore = true; hasMore; pages++) {
        const page = await bus.replay(after, rooms, limitBytes)
        t.same(page.lost, [])
        const bytes = page.events.slice(0, -1).reduce((sum, { data }) => sum + data.length, 0)
        t.ok(bytes <= limitBytes, `${bytes} bytes before the last event of a page of ${limitBytes}`)
        seen.push(...page.events)
        after = page.upTo
        hasMore = page.hasMore
      }
      t.same(seen, heard.events)
      if (limitBytes === 1) t.equal(pages, 100, 'an event a page')
      if (limitBytes === 1e9) t.equal(pages, 1)
    }
  })

  t.test('what is trimmed between two pages is called lost', async t => {
    const { bus, heard, start } = await open(t, { historySize: 4 })
    const rooms = ['a', 'b', ...Array.from({ length: 10 }, (_, n) => `quiet:${n}`)]
    await bus.publish([...rooms.map(room => draft(room, 0)), draft('a', 1), draft('b', 2), draft('b', 3)])
    await until(heard, 15)
    const page = await bus.replay(start, rooms, 1)
    t.same([payloads(page.events), page.lost, page.hasMore], [[0], [], true])
    // The history of b ends before the next page begins, so b comes on a later page.
    await bus.publish(Array.from({ length: 40 }, (_, n) => draft('b', 100 + n)))
    await until(heard, 55)
    const { events, lost } = await readAll(bus, page.upTo, rooms)
    t.same(lost, ['b'])
    const others = events.filter(({ room }) => room !== 'b')
    t.same(
      others.map(({ room, data }) => `${room} ${data}`),
      [...rooms.slice(2).map(room => `${room} 0`), 'a 1'],
      'the other rooms are whole',
    )
    t.same(payloads(events.slice(-4)), [136, 137, 138, 139])
  })

  t.test('a room whose beginning is gone is called lost with the first page, though its turn comes later', async t => {
    const { bus, heard, start } = await open(t, { historySize: 2 })
    await bus.publish([draft('b', 'gone'), ...Array.from({ length: 4 }, (_, n) => draft('a', n))])
    await bus.publish(Array.from({ length: 2 }, (_, n) => draft('b', n)))
    await until(heard, 7)
    await bus.publish(Array.from({ length: 60 }, (_, n) => draft('b', n)))
    await until(heard, 67)
    const page = await bus.replay(start, ['a', 'b'], 1)
    t.same([...page.lost].sort(), ['a', 'b'])
  })
}
