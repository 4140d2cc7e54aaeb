import fc from 'fast-check'
import type { Test } from 'tap'
import { formatCursor, parseCursor } from '../../src/cursor.js'
import { createDraft, type Draft } from '../../src/draft.js'
import { type CreateBus, draft, openBusWith, payloads, publishOne, readAll, until } from '../helpers/bus.js'
import { waitFor } from '../helpers/deadline.js'
import { testReplay } from './replay.js'

/** The contract of every bus. `createBus` makes one; each test has its own. */
export function testBus(t: Test, createBus: CreateBus): void {
  const open = openBusWith(createBus)
  testReplay(t, open)

  t.test(
    'an event reaches the subscriber with its room, type, data and time, under the id that was answered',
    async t => {
      const { bus, heard } = await open(t)
      const before = Date.now()
      const [published] = await bus.publish([draft('user:42', { jobId: 7 }, { type: 'job.complete' })])
      await until(heard, 1)
      const [event] = heard.events
      t.equal(formatCursor(event!.cursor), published!.id)
      t.match(event, {
        room: 'user:42',
        type: 'job.complete',
        data: '{"jobId":7}',
        ephemeral: false,
        at: published!.at,
      })
      t.equal(published!.room, 'user:42')
      t.ok(Math.abs(published!.at - before) < 5_000, 'the time is now')
      t.notOk('duplicate' in published!, 'the first is no duplicate')
    },
  )

  t.test('order is one and the same for answers, subscriber and history under concurrent publishers', async t => {
    const { bus, heard, start } = await open(t)
    const ids: string[] = []
    const publisher = async (name: number) => {
      for (let n = 0; n < 40; n++) {
        const [published] = await bus.publish([draft(`room:${n % 3}`, { name, n })])
        ids.push(published!.id)
      }
    }
    await Promise.all(Array.from({ length: 10 }, (_, name) => publisher(name)))
    await until(heard, 400)
    const seqs = heard.events.map(event => event.cursor.seq)
    t.same(
      seqs,
      [...seqs].sort((a, b) => a - b),
      'in order of seq',
    )
    t.equal(new Set(seqs).size, 400, 'no position twice')
    t.equal(seqs.at(-1)! - seqs[0]!, 399, 'seq is contiguous over all rooms')
    t.same(new Set(heard.events.map(event => formatCursor(event.cursor))), new Set(ids))
    for (let name = 0; name < 10; name++) {
      const own = heard.events.map(event => JSON.parse(event.data)).filter(data => data.name === name)
      t.same(
        own.map(data => data.n),
        Array.from({ length: 40 }, (_, n) => n),
        `publisher ${name} is in its own order`,
      )
    }
    const { events, lost } = await readAll(bus, start, ['room:0', 'room:1', 'room:2'])
    t.same(lost, [])
    t.same(events, heard.events, 'history holds the same events in the same order')
  })

  t.test('a batch is published whole, in its order and without anything between', async t => {
    const { bus, heard } = await open(t)
    const batch = (name: string) => Array.from({ length: 50 }, (_, n) => draft(`room:${n % 5}`, `${name}${n}`))
    const answers = await Promise.all([bus.publish(batch('a')), bus.publish(batch('b')), bus.publish(batch('c'))])
    await until(heard, 150)
    for (const answer of answers) {
      t.equal(answer.length, 50)
      const seqs = answer.map(published => parseCursor(published.id)!.seq)
      t.same(
        seqs,
        seqs.map((_, n) => seqs[0]! + n),
        'one after the other',
      )
      t.same(
        answer.map(published => published.room),
        batch('').map(each => each.room),
      )
    }
  })

  t.test('an ephemeral event is delivered, takes a position and no history', async t => {
    const { bus, heard, start } = await open(t)
    await bus.publish([draft('room', 1), draft('room', 2, { ephemeral: true }), draft('room', 3)])
    await bus.publish([draft('other', 4, { ephemeral: true })])
    await until(heard, 4)
    t.same(payloads(heard.events), [1, 2, 3, 4])
    t.same(
      heard.events.map(event => event.ephemeral),
      [false, true, false, true],
    )
    const { events, lost, upTo } = await readAll(bus, start, ['room', 'other'])
    t.same(payloads(events), [1, 3])
    t.same(lost, [], 'an ephemeral event that is gone is no loss')
    t.equal(upTo.seq, heard.events.at(-1)!.cursor.seq)
  })

  t.test('the same key twice publishes once and answers the first id', async t => {
    const { bus, heard, start } = await open(t)
    const [first] = await bus.publish([draft('room', 1, { key: 'k' })])
    const [again] = await bus.publish([draft('room', 2, { key: 'k' })])
    t.same(again, { ...first, duplicate: true })
    const [other] = await bus.publish([draft('room', 3, { key: 'k2' })])
    t.notOk(other!.duplicate)
    await until(heard, 2)
    t.same(payloads(heard.events), [1, 3])
    t.same(payloads((await readAll(bus, start, ['room'])).events), [1, 3])
  })

  t.test("a key in one room neither swallows nor learns of another room's event with the same key", async t => {
    const { bus, heard, start } = await open(t)
    const [mallory] = await bus.publish([draft('session:mallory', 'first', { key: 'order-1001' })])
    const [order] = await bus.publish([draft('user:42', 'the order', { key: 'order-1001' })])
    t.notOk(order!.duplicate, 'the event of the other room is published')
    t.not(order!.id, mallory!.id)
    t.equal(order!.room, 'user:42')
    const [probe] = await bus.publish([draft('session:mallory', 'again', { key: 'order-1001' })])
    t.same(probe, { ...mallory, duplicate: true }, 'who asks with the key hears of its own room')
    const [never] = await bus.publish([draft('session:eve', 'probe', { key: 'order-1001' })])
    t.notOk(never!.duplicate, 'nor does a third room tell that the key was used')
    // The same must hold within one batch.
    const both = [draft('session:mallory', 1, { key: 'x' }), draft('user:42', 2, { key: 'x' })]
    const answers = await bus.publish(both)
    t.same(
      answers.map(({ room, duplicate }) => [room, duplicate]),
      [
        ['session:mallory', undefined],
        ['user:42', undefined],
      ],
    )
    await until(heard, 5)
    t.same(payloads((await readAll(bus, start, ['user:42'])).events), ['the order', 2])
  })

  t.test('a publish tells how many rooms it began: unknown ones, each once, and none by ephemeral events', async t => {
    const { bus } = await open(t)
    const began = async (...drafts: Draft[]) => {
      let count = 0
      await bus.publish(drafts, rooms => {
        count += rooms
      })
      return count
    }
    t.equal(await began(draft('a', 1), draft('b', 1), draft('a', 2)), 2)
    t.equal(await began(draft('a', 3), draft('c', 1, { ephemeral: true })), 0)
    t.equal(await began(draft('c', 2, { key: 'k' })), 1)
    t.equal(await began(draft('c', 2, { key: 'k' })), 0)
    const counts = await Promise.all([began(draft('d', 1), draft('e', 1)), began(draft('e', 2), draft('f', 1))])
    t.equal(counts[0]! + counts[1]!, 3, 'each publisher is told of those that its own drafts began')
  })

  t.test('the same key twice in one batch, and in concurrent batches, publishes once', async t => {
    const { bus, heard } = await open(t)
    const batch = () => [draft('room', 'a', { key: 'x' }), draft('room', 'b', { key: 'x' }), draft('room', 'c')]
    const answers = await Promise.all([bus.publish(batch()), bus.publish(batch()), bus.publish(batch())])
    await until(heard, 4)
    t.equal(heard.events.filter(event => event.data === '"a"').length, 1)
    t.equal(heard.events.filter(event => event.data === '"b"').length, 0)
    t.equal(new Set(answers.flatMap(([a, b]) => [a!.id, b!.id])).size, 1, 'all of them answer the first id')
    t.equal(answers.flatMap(([a, b]) => [a!, b!]).filter(published => published.duplicate === true).length, 5)
  })

  t.test('keys and rooms with the names of object members are names like any other', async t => {
    const { bus, heard, start } = await open(t)
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'user:__proto__']
    for (const name of names) {
      const [first] = await bus.publish([draft(name, name, { key: name, type: name })])
      t.notOk(first!.duplicate)
      t.ok((await bus.publish([draft(name, name, { key: name })]))[0]!.duplicate)
    }
    await until(heard, names.length)
    const { events, lost } = await readAll(bus, start, names)
    t.same(
      events.map(event => event.room),
      names,
    )
    t.same(
      events.map(event => event.type),
      names,
    )
    t.same(lost, [])
  })

  const texts = [
    'a\nb',
    'a\r\nb',
    'a\rb',
    '\n\n',
    'trailing\n',
    '\u2028\u2029\u0085',
    '\u0000',
    '😀👩‍👩‍👧‍👦 ñ 漢字',
    '{"not":"parsed"}',
    '',
    'x'.repeat(65_534),
    '漢'.repeat(21_000),
    '\\"\\\\u0041',
    'id: 1\nevent: forged\n\n',
    '%s %d \u007f',
  ]
  t.test('text arrives and is kept as it was sent: newlines, emoji, 64 KiB', async t => {
    const { bus, heard, start } = await open(t)
    for (const text of texts) await bus.publish([draft('room', text, { type: 'tïck 😀' })])
    await until(heard, texts.length)
    t.same(payloads(heard.events), texts)
    t.equal(heard.events[0]!.type, 'tïck 😀')
    const { events } = await readAll(bus, start, ['room'])
    t.same(payloads(events), texts)
    t.equal(events[0]!.type, 'tïck 😀')
  })

  t.test('JSON arrives character by character as it was sent: big integers, 1.0, key order, escapes', async t => {
    const { bus, heard, start } = await open(t)
    const raw = ['9007199254740993', '1.0', '{"b":1,"a":2,"b":3}', '"\\u0041\\/"', '[ 1 ,2 ]', '-0', '1e400', 'null']
    const json = fc.sample(fc.json(), 40)
    for (const data of [...raw, ...json])
      await bus.publish([createDraft('room', { type: 't', data }, 100_000, 'the test')])
    await until(heard, raw.length + json.length)
    t.same(
      heard.events.map(event => event.data),
      [...raw, ...json],
    )
    t.same((await readAll(bus, start, ['room'])).events, heard.events)
  })

  t.test('the position is that of the last event handed over, and never runs ahead of it', async t => {
    const { bus, heard, start } = await open(t)
    t.equal(bus.health().status, 'ok')
    const last = await publishOne(bus, draft('room', 1))
    await until(heard, 1)
    await waitFor(() => bus.position!.seq === last.seq, 5_000, 'the position to follow')
    t.equal(bus.position!.epoch, start.epoch)
    t.same(heard.gaps, [], 'nothing was lost')
  })

  t.test('a publish after close is refused, and a second close does nothing', async t => {
    const { bus, heard } = await open(t)
    await bus.publish([draft('room', 1)])
    await until(heard, 1)
    await Promise.all([bus.close(), bus.close()])
    await bus.close()
    await t.rejects(bus.publish([draft('room', 2)]), { code: 'TIDINGS_CLOSED', statusCode: 503 })
    t.equal(heard.events.length, 1)
  })

  t.test('a publish under way when the bus is closed is answered or refused, never forgotten', async t => {
    const { bus } = await open(t)
    const answers = Array.from({ length: 20 }, (_, n) => bus.publish([draft('room', n)]))
    const settled = Promise.allSettled(answers)
    await bus.close()
    for (const each of await settled) {
      if (each.status === 'rejected') t.match(each.reason, { code: /^TIDINGS_/ })
      else t.ok(each.value[0]!.id)
    }
  })
}
