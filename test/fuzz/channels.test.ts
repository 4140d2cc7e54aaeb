import fc from 'fast-check'
import t from 'tap'
import { channelMessages, fuzzChannels } from './channels.js'

t.setTimeout(120_000)

t.test('the same seed makes the same messages, on both channels', async t => {
  const run = (seed: number) => fc.sample(channelMessages(), { seed, numRuns: 200 })
  t.same(run(3), run(3))
  t.strictNotSame(run(3), run(4))
  t.same([...new Set(run(3).map(({ channel }) => channel))].sort(), ['events', 'replicas'])
})

t.test(
  '3,000 messages that are none of ours: the gateway lives, a bystander gets every event, memory comes back',
  async t => {
    const { sent, problems } = await fuzzChannels(t, 3_000, 20_261_125)
    t.same(problems, [])
    t.equal(sent, 3_000)
  },
)
