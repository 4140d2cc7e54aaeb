import t, { type Test } from 'tap'
import { RedisLink } from '../../src/redis/link.js'
import { RedisNames } from '../../src/redis/names.js'
import { RedisReplicas } from '../../src/replicas/redis.js'
import { startLink } from '../chaos/proxy.js'
import { waitFor, withDeadline } from '../helpers/deadline.js'
import { startRedis } from '../helpers/redis.js'
import { COMMANDS, listener, NO_COMMANDS, testReplicas } from './replicas.js'

const redis = await startRedis(t)
let prefixes = 0
const freshPrefix = () => `test${++prefixes}:`

/** One replica on a link of its own; `start` resolves when it hears the others. */
function replica(t: Test, prefix: string, url = redis.url) {
  const troubles: unknown[] = []
  const link = new RedisLink({ url, onTrouble: error => troubles.push(error) })
  t.teardown(() => link.close())
  const replicas = new RedisReplicas(link, new RedisNames(prefix, 0))
  const start = async () => {
    link.connect()
    await waitFor(() => link.isReady && link.isSubscriberReady, 10_000, 'both connections')
  }
  return { link, replicas, start, troubles }
}

/** One that listens and is started, and answers `count` to everything. */
async function listening(t: Test, prefix: string, count: number | (() => number), url = redis.url) {
  const made = replica(t, prefix, url)
  const { state, handler } = listener(typeof count === 'number' ? () => count : count)
  made.replicas.listen(handler)
  await made.start()
  return { ...made, state }
}

const channelOf = (prefix: string) => new RedisNames(prefix, 0).replicas

testReplicas(t, async t => replica(t, freshPrefix()))

for (const [name, counts] of [
  ['two', [1, 2]],
  ['three', [1, 2, 4]],
] as const) {
  t.test(`each of ${name} replicas gets a command once, and the answer is the sum of theirs`, async t => {
    const prefix = freshPrefix()
    const all: Awaited<ReturnType<typeof listening>>[] = []
    for (const count of counts) all.push(await listening(t, prefix, count))
    const other = await listening(t, freshPrefix(), 100)
    const sum = counts.reduce((a: number, b) => a + b, 0)
    for (const [i, command] of COMMANDS.entries()) t.equal(await all[i % all.length]!.replicas.ask(command), sum)
    for (const { state } of all) t.same(state.heard, COMMANDS)
    t.same(other.state.heard, [], 'another prefix, another gateway')
  })
}

t.test('a message that is no command changes nothing, and the next command is answered', async t => {
  const prefix = freshPrefix()
  const { replicas, state, troubles } = await listening(t, prefix, 3)
  const bad = [
    '',
    'no json',
    'null',
    '[]',
    '{"id":1}',
    `{"id":"${'x'.repeat(65)}","command":{"kind":"look-up-revocations"}}`,
    '{"id":"a","command":null}',
    ...NO_COMMANDS.map(command => JSON.stringify({ id: 'a', command })),
  ]
  for (const message of bad) t.equal(await redis.command('PUBLISH', channelOf(prefix), message), 1, message)
  t.equal(await replicas.ask(COMMANDS[0]!), 3)
  t.same(state.heard, [COMMANDS[0]])
  t.same(troubles, [])
})

t.test('an answer that is no number of streams is not counted, and the one that is ends the wait', async t => {
  const prefix = freshPrefix()
  const { link, replicas, state, troubles } = await listening(t, prefix, 3)
  const run = link.run.bind(link)
  link.run = async (...args) => {
    // Safe: replicas.lua has one argument, a message.
    const { id, count } = JSON.parse(args[2][0] as string) as { id: string; count?: number }
    // Before its own answer, while the asker waits.
    for (const bad of count === undefined ? [] : ['-1', '1.5', '"5"', 'null', '1e999']) {
      t.equal(await redis.command('PUBLISH', channelOf(prefix), `{"id":"${id}","count":${bad}}`), 1)
    }
    return run(...args)
  }
  t.equal(await replicas.ask(COMMANDS[0]!), 3)
  t.same(state.heard, [COMMANDS[0]])
  t.same(troubles, [])
})

t.test('an answer that nobody waits for is counted by nobody, whether it was asked for before or never', async t => {
  const prefix = freshPrefix()
  const { link, replicas, state, troubles } = await listening(t, prefix, 3)
  const ids: string[] = []
  const run = link.run.bind(link)
  link.run = async (...args) => {
    // Safe: replicas.lua has one argument, a message.
    const message = JSON.parse(args[2][0] as string) as { id: string; command?: unknown }
    if (message.command !== undefined) ids.push(message.id)
    return run(...args)
  }
  t.equal(await replicas.ask(COMMANDS[0]!), 3)
  for (const id of ['nobody', '__proto__', ids[0]!]) {
    t.equal(await redis.command('PUBLISH', channelOf(prefix), JSON.stringify({ id, count: 5 })), 1)
  }
  t.equal(await replicas.ask(COMMANDS[1]!), 3)
  t.same(state.heard, COMMANDS.slice(0, 2))
  t.same(troubles, [])
})

t.test(
  'a replica that was cut off hears that it was, and that it may have missed something, and no old command',
  async t => {
    const prefix = freshPrefix()
    const link = await startLink(t, redis.port)
    const near = await listening(t, prefix, 1)
    const far = await listening(t, prefix, 1, `redis://127.0.0.1:${link.port}`)
    await waitFor(() => far.state.missed > 0, 5_000, 'the first look')
    const before = far.state.missed
    link.set('cut')
    await waitFor(() => far.state.cutOff === 1, 15_000, 'the cut')
    far.replicas.miss()
    t.equal(far.state.missed, before, 'it has nowhere to look')
    t.equal(await near.replicas.ask(COMMANDS[0]!), 1, 'without it')
    await t.rejects(far.replicas.ask(COMMANDS[1]!), { code: 'TIDINGS_ACCESS_UNAVAILABLE' })
    link.set('open')
    await waitFor(() => far.state.missed > before, 15_000, 'its return')
    t.same(far.state.heard, [])
    t.equal(await near.replicas.ask(COMMANDS[2]!), 2)
    t.same(far.state.heard, [COMMANDS[2]])
    t.same(near.state.heard, [COMMANDS[0], COMMANDS[2]], 'what was not sent nobody hears later')
    t.equal(near.state.cutOff, 0)
  },
)

t.test('without Redis nobody can be asked, neither before it was reached nor after it is closed', async t => {
  const { link, replicas, start } = replica(t, freshPrefix())
  const { heard, handler } = listener(() => 1)
  replicas.listen(handler)
  await t.rejects(replicas.ask(COMMANDS[0]!), { code: 'TIDINGS_ACCESS_UNAVAILABLE' })
  await start()
  t.equal(await replicas.ask(COMMANDS[1]!), 1)
  link.close()
  await t.rejects(replicas.ask(COMMANDS[2]!), { code: 'TIDINGS_ACCESS_UNAVAILABLE' })
  t.same(heard, [COMMANDS[1]])
})

t.test(
  'an answer that comes later than a second is not counted, then or later, and the command is carried out',
  async t => {
    const prefix = freshPrefix()
    const [near, far] = [await listening(t, prefix, 1), await listening(t, prefix, 10)]
    const run = far.link.run.bind(far.link)
    let release = () => {}
    const released = new Promise<void>(resolve => {
      release = resolve
    })
    let answers = 0
    far.link.run = async (...args) => {
      await released
      const answer = await run(...args)
      answers++
      return answer
    }
    // Nothing but its own timeout can end this: the answer is held until it has.
    t.equal(await withDeadline(near.replicas.ask(COMMANDS[0]!), 10_000, 'the sum'), 1)
    t.same(far.state.heard, [COMMANDS[0]])
    release()
    await waitFor(() => answers === 1, 5_000, 'the late answer')
    t.equal(await near.replicas.ask(COMMANDS[1]!), 11)
  },
)

t.test('a replica whose handler throws counts for nothing, and the others are asked and counted', async t => {
  const prefix = freshPrefix()
  let isBroken = true
  const asker = await listening(t, prefix, 1)
  const broken = await listening(t, prefix, () => {
    if (isBroken) throw new Error('a broken handler')
    return 10
  })
  const other = await listening(t, prefix, 100)
  t.equal(await asker.replicas.ask(COMMANDS[0]!), 101)
  t.match(broken.troubles, [{ message: 'a broken handler' }])
  isBroken = false
  t.equal(await asker.replicas.ask(COMMANDS[1]!), 111)
  for (const { state } of [asker, broken, other]) t.same(state.heard, COMMANDS.slice(0, 2))
})

t.test('a replica that is told that Redis lost data looks up what it missed, if it can', async t => {
  const { replicas, state, link } = await listening(t, freshPrefix(), 0)
  await waitFor(() => state.missed > 0, 5_000, 'the first look')
  const before = state.missed
  replicas.miss()
  t.equal(state.missed, before + 1)
  link.close()
  replicas.miss()
  t.equal(state.missed, before + 1, 'not while it hears nothing')
})

t.test(
  'a replica is told that it may have missed something only once it can look it up and hears what is new',
  async t => {
    const { link, replicas, start } = replica(t, freshPrefix())
    const { handler } = listener()
    const able: boolean[] = []
    replicas.listen({ ...handler, onMissed: () => able.push(link.isReady && link.isSubscriberReady) })
    await start()
    await waitFor(() => able.includes(true), 5_000, 'the first look')
    const before = able.length
    link.renewSubscriber()
    await waitFor(() => able.length > before, 15_000, 'another look')
    let isReady = false
    // As while only the other connection is back.
    Object.defineProperty(link, 'isReady', { get: () => isReady })
    const looks = able.length
    link.renewSubscriber()
    await waitFor(() => link.isSubscriberReady, 15_000, 'the subscription')
    t.equal(able.length, looks, 'there is nothing to look with')
    isReady = true
    link.renewSubscriber()
    await waitFor(() => able.length > looks, 15_000, 'a look with both')
    t.notOk(able.includes(false), `${able}`)
  },
)

t.test('a replica that nobody listens to misses nothing', async t => {
  const { replicas, start } = replica(t, freshPrefix())
  replicas.miss()
  await start()
  t.doesNotThrow(() => replicas.miss())
})
