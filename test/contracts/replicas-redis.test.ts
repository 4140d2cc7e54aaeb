import t, { type Test } from 'tap'
import { RedisLink } from '../../src/redis/link.js'
import { RedisNames } from '../../src/redis/names.js'
import { RedisReplicas } from '../../src/replicas/redis.js'
import { startLink } from '../chaos/proxy.js'
import { waitFor } from '../helpers/deadline.js'
import { startRedis } from '../helpers/redis.js'
import { COMMANDS, listener, testReplicas } from './replicas.js'

const redis = await startRedis(t)
let prefixes = 0
const freshPrefix = () => `test${++prefixes}:`

/** One replica on a link of its own; `start` resolves when it hears the others. */
function replica(t: Test, prefix: string, url = redis.url) {
  const link = new RedisLink({ url })
  t.teardown(() => link.close())
  const replicas = new RedisReplicas(link, new RedisNames(prefix, 0))
  const start = async () => {
    link.connect()
    await waitFor(() => link.isReady && link.isSubscriberReady, 10_000, 'both connections')
  }
  return { link, replicas, start }
}

/** One that listens and is started, and answers `count` to everything. */
async function listening(t: Test, prefix: string, count: number, url = redis.url) {
  const made = replica(t, prefix, url)
  const { state, handler } = listener(() => count)
  made.replicas.listen(handler)
  await made.start()
  return { ...made, state }
}

testReplicas(t, async t => replica(t, freshPrefix()))

t.test('every replica gets a command once, and the answer is the sum of theirs', async t => {
  const prefix = freshPrefix()
  const all = [await listening(t, prefix, 1), await listening(t, prefix, 2), await listening(t, prefix, 4)]
  const other = await listening(t, freshPrefix(), 100)
  for (const [i, command] of COMMANDS.entries()) t.equal(await all[i % 3]!.replicas.ask(command), 7)
  for (const { state } of all) t.same(state.heard, COMMANDS)
  t.same(other.state.heard, [], 'another prefix, another gateway')
})

t.test('a message that is no command changes nothing, and the next command is answered', async t => {
  const prefix = freshPrefix()
  const { replicas, state } = await listening(t, prefix, 3)
  const channel = new RedisNames(prefix, 0).replicas
  const bad = [
    '',
    'no json',
    'null',
    '[]',
    '{"id":1}',
    '{"id":"a","command":{"kind":"of-a-later-version"}}',
    '{"id":"a","command":{"kind":"revoke-user","userId":7,"at":"now"}}',
    '{"id":"a","count":-1}',
    '{"id":"nobody waits for this","count":5}',
  ]
  for (const message of bad) t.equal(await redis.command('PUBLISH', channel, message), 1, message)
  t.equal(await replicas.ask(COMMANDS[0]!), 3)
  t.same(state.heard, [COMMANDS[0]])
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
    t.equal(await near.replicas.ask(COMMANDS[0]!), 1, 'without it')
    await t.rejects(far.replicas.ask(COMMANDS[1]!), { code: 'TIDINGS_ACCESS_UNAVAILABLE' })
    link.set('open')
    await waitFor(() => far.state.missed > before, 15_000, 'its return')
    t.same(far.state.heard, [])
    t.equal(await near.replicas.ask(COMMANDS[2]!), 2)
    t.same(far.state.heard, [COMMANDS[2]])
  },
)

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
