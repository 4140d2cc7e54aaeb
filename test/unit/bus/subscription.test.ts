import fc from 'fast-check'
import t from 'tap'
import type { Moved, RedisReader } from '../../../src/bus/redis-reader.js'
import { Subscription } from '../../../src/bus/subscription.js'
import type { Cursor } from '../../../src/cursor.js'
import type { Event } from '../../../src/event.js'
import { eventAt } from '../../helpers/scripted-bus.js'

// The messages of the channel, as append.lua and beacon.lua write them.
const message = (seq: number, data: string[], epoch = 'k') =>
  Buffer.from(
    `E\n${epoch}\n${seq}\n1000\n${data.length}\n${data.map(each => `room\ntick\n\n${Buffer.byteLength(each)}\n${each}`).join('')}`,
  )
const beacon = (seq: number, epoch = 'k') => Buffer.from(`B\n${epoch}\n${seq}\nmark 1`)

/** Makes a subscription to a server that the test plays. */
function subscribe(follows = ['room'], followed: () => Iterable<string> = () => follows) {
  const told: string[] = []
  const server = {
    position: { epoch: 'k', seq: 0 } as Cursor,
    events: [] as Event[],
    lost: [] as string[],
    asked: 0,
    rooms: new Set(follows),
    /** True makes the receiver of events throw. */
    isBroken: false,
  }
  const moved = async (from: Cursor | null): Promise<Moved> => {
    server.asked++
    const kind = from === null || from.epoch === server.position.epoch ? 'same' : 'lineage'
    return {
      life: 'k',
      position: server.position,
      kind,
      from: from ?? server.position,
      forgotten: 0,
      rooms: server.rooms,
    }
  }
  const replay = async (after: Cursor, rooms: readonly string[]) => ({
    events: server.events.filter(({ cursor, room }) => cursor.seq > after.seq && rooms.includes(room)),
    lost: server.lost,
    upTo: server.position,
    hasMore: false,
  })
  const troubles: unknown[] = []
  const subscription = new Subscription({
    // Safe: a subscription uses no other member of a reader.
    reader: { moved, replay } as unknown as RedisReader,
    subscriber: {
      onEvents: events => {
        if (server.isBroken) throw new Error('a fault of ours')
        told.push(...events.map(event => `${event.data}`))
      },
      onGap: (rooms, reason) => void told.push(`gap ${rooms} ${reason}`),
      onReady: () => void told.push('ready'),
      followedRooms: () => followed(),
    },
    onContiguous: () => {},
    onJump: () => {},
    onTrouble: error => void troubles.push(error),
  })
  return { subscription, server, told, troubles }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}

async function live(seq: number) {
  const setup = subscribe()
  setup.server.position = { epoch: 'k', seq }
  setup.subscription.resync()
  await settle()
  setup.told.length = 0
  setup.server.asked = 0
  return setup
}

t.test('messages that follow each other are handed on, and a repeated one is not', async t => {
  const { subscription, server, told } = await live(5)
  subscription.take(message(6, ['6']))
  subscription.take(message(7, ['7', '8']))
  subscription.take(message(7, ['7', '8']))
  subscription.take(message(6, ['6']))
  t.equal(subscription.take(beacon(8)), 'mark 1')
  t.same(told, ['6', '7', '8'])
  t.same(subscription.position, { epoch: 'k', seq: 8 })
  t.equal(server.asked, 0)
})

t.test('a jump is closed from history, and what arrives meanwhile comes after it', async t => {
  const { subscription, server, told } = await live(5)
  server.position = { epoch: 'k', seq: 8 }
  server.events = [6, 7, 8].map(seq => eventAt(seq))
  subscription.take(message(8, ['8']))
  subscription.take(message(9, ['9']))
  t.same(told, [])
  await settle()
  t.same(told, ['6', '7', '8', '9', 'ready'])
  t.equal(server.asked, 1)
})

t.test('a beacon ahead of the position shows a lost last message', async t => {
  const { subscription, server, told } = await live(5)
  server.position = { epoch: 'k', seq: 6 }
  server.events = [eventAt(6)]
  subscription.take(beacon(6))
  await settle()
  t.same(told, ['6', 'ready'])
})

t.test('what history does not have is a gap, told before the events behind it', async t => {
  const { subscription, server, told } = await live(5)
  server.position = { epoch: 'k', seq: 8 }
  server.events = [eventAt(8)]
  server.lost = ['room']
  subscription.take(message(8, ['8']))
  await settle()
  t.same(told, ['gap room history', '8', 'ready'])
})

t.test('messages of a counter that ended, or beyond the counter, are not asked about for ever', async t => {
  const { subscription, server, told } = await live(5)
  for (const stranger of [message(99, ['"stale"'], 'old'), message(9, ['"beyond"'])]) {
    server.asked = 0
    subscription.take(stranger)
    await settle()
    t.ok(subscription.isLive)
    t.equal(server.asked, 1)
  }
  subscription.take(message(6, ['6']))
  t.same(told, ['ready', 'ready', '6'])
})

t.test('what is no message of ours is nothing, whatever it looks like', async t => {
  const { subscription, server, told } = await live(5)
  const garbage = [
    '',
    'E',
    'E\n',
    'B',
    'B\n',
    'B\nk\n',
    'E\nk\n',
    'E\nk\n6\n',
    'E\nk\n6\n1\n0\n',
    'E\nk\nNaN\n1\n1\n',
    '\u0000\n',
    '{}',
  ]
  for (const text of garbage) t.equal(subscription.take(Buffer.from(text)), null, JSON.stringify(text))
  t.same(told, [])
  t.equal(server.asked, 0)
})

t.test('a history that cannot be read leaves the subscription detached until it is asked again', async t => {
  const { subscription, server, told, troubles } = await live(5)
  const { position } = server
  Object.defineProperty(server, 'position', {
    configurable: true,
    get: () => {
      throw new Error('away')
    },
  })
  subscription.take(message(8, ['8']))
  await settle()
  t.notOk(subscription.isLive || subscription.isCatchingUp)
  t.equal(troubles.length, 1)
  subscription.take(message(9, ['9']))
  Object.defineProperty(server, 'position', { value: { ...position, seq: 9 }, writable: true })
  server.events = [6, 7, 8, 9].map(seq => eventAt(seq))
  subscription.resync()
  await settle()
  t.same(told, ['6', '7', '8', '9', 'ready'])
})

t.test(
  'a reader that comes at any moment of a catch-up misses nothing: it is read for, or told the later position',
  async t => {
    for (let moment = 0; moment < 40; moment++) {
      const follows = ['room']
      let toldTo: number | null = null
      // The reader comes this many steps after the rooms were asked for.
      const come = async () => {
        for (let i = 0; i < moment; i++) await null
        toldTo = setup.subscription.position!.seq
        follows.push('late')
      }
      let isComing = false
      const setup = subscribe(follows, function* () {
        yield* [...follows]
        if (setup.subscription.isCatchingUp && setup.subscription.position !== null && !isComing) {
          isComing = true
          void come()
        }
      })
      const { subscription, server, told } = setup
      server.position = { epoch: 'k', seq: 5 }
      subscription.resync()
      await settle()
      server.position = { epoch: 'k', seq: 7 }
      server.events = [eventAt(6), eventAt(7, 'late')]
      server.rooms.add('late')
      subscription.take(beacon(7))
      await settle()
      t.ok(toldTo === 7 || told.includes('7'), `${moment} steps later: told ${toldTo}, got ${told}`)
    }
  },
)

t.test('whatever comes on the channel, nothing throws, and the next event of the order is handed on', async t => {
  const { subscription, told, troubles } = await live(0)
  const events = (text: string) => Buffer.from(text)
  const broken = [
    Buffer.alloc(0),
    events('E'),
    events('E\n'),
    events('5'),
    events('"text"'),
    events('E\nk\n1\n1000\n9007199254740991\nroom\ntick\n\n1\na'),
    events('E\nk\n1\n1000\n2\nroom\ntick\n\n1\na'),
    events('E\nk\n1\n1000\n1\nroom\ntick\n\n99\na'),
    events('E\nk\n1\n1000\n1\nroom\ntick\n\n1\nab'),
    events('E\nk\n1\n1000\n1\nroom\ntick\n\n-1\na'),
    events('E\nk\n1\n1000\n1\n'),
    events('E\nk\n99999999999999999999999\n1000\n1\nroom\ntick\n\n1\na'),
    events('E\nnot an epoch\n1\n1000\n1\nroom\ntick\n\n1\na'),
    events('B\nk\n99999999999999999999999\nmark 1'),
    events('B\n\r\n5\nmark 1'),
  ]
  for (const each of broken) t.equal(subscription.take(each), null, each.toString())
  t.equal(troubles.length, broken.length, 'each was told of')
  t.ok(subscription.isLive)
  subscription.take(message(1, ['next']))
  t.same(told, ['next'])
})

t.test('random and mutated messages throw nothing and hand on nothing that is not whole', async t => {
  const good = message(1, ['first', 'second'])
  const mutated = fc
    .array(fc.tuple(fc.nat(good.length), fc.nat(6), fc.uint8Array({ maxLength: 6 })), { minLength: 1, maxLength: 4 })
    .map(changes =>
      changes.reduce(
        (bytes, [at, length, insert]) => Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + length)]),
        good,
      ),
    )
  const { subscription } = await live(0)
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 }).map(Buffer.from)), bytes => {
      subscription.take(bytes)
    }),
    { numRuns: 5_000 },
  )
  t.pass('nothing was thrown')
})

t.test('when events cannot be handed on, everyone is told of a gap and the rest goes on', async t => {
  const { subscription, server, told, troubles } = await live(0)
  server.isBroken = true
  server.position = { epoch: 'k', seq: 1 }
  subscription.take(message(1, ['lost']))
  server.isBroken = false
  await settle()
  t.match(troubles, [{ message: 'a fault of ours' }])
  subscription.take(message(2, ['next']))
  t.same(told, ['gap null history', 'ready', 'next'])
})
