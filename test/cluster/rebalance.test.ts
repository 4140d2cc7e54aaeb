import t from 'tap'
import { Crowd } from '../chaos/crowd.js'
import { createHttpDoor } from '../chaos/doors.js'
import { Ledger } from '../chaos/ledger.js'
import { Press } from '../chaos/presses.js'
import { Random } from '../chaos/random.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'

const READERS = 200
const MAX_AGE_MS = 4_000
// Every stream ends within 1.2 times the age and comes back within 5 s. The rest allows for a busy machine.
const EVEN_WITHIN_MS = 1.2 * MAX_AGE_MS + 5_000 + 10_000

async function openStreams(gateway: Gateway): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  return Number(/^tidings_connections (\d+)$/m.exec(text)?.[1])
}

t.test(
  'after a scale-up, max age moves half of the streams to the new replica, and no reader misses anything',
  async t => {
    const redis = await startRedis(t)
    const env = { SSE_ADAPTER: 'redis', REDIS_URL: redis.url, CONNECTION_MAX_AGE_MS: `${MAX_AGE_MS}` }
    const start = () => startGateway(t, env, { until: 'ready' })
    const old = await start()
    // The load balancer's list of replicas; the crowd reads it at each attempt.
    const urls = [old.url]
    const ledger = new Ledger()
    const random = (name: string) => new Random(7, name)
    const rooms = ['project:1', 'project:2', 'project:3']
    const users = Array.from({ length: READERS }, (_, i) => `u${i}`)
    const load = { ledger, users, rooms }
    const crowd = new Crowd({ ...load, random: random('crowd'), urls, readers: READERS, stalling: 0, churnMs: 0 })
    t.teardown(() => crowd.close())
    await crowd.open()
    const door = createHttpDoor(
      'press',
      () => old.url,
      () => {},
    )
    const press = new Press(door, { ...load, random: random('press'), pauseMs: 30 })
    t.teardown(() => press.stop())

    const fresh = await start()
    urls.push(fresh.url)
    const startedAt = performance.now()
    const spread: string[] = []
    const isEven = async () => {
      const [onOld, onNew] = [await openStreams(old), await openStreams(fresh)]
      const seconds = Math.round((performance.now() - startedAt) / 1_000)
      if (spread.length <= seconds) spread.push(`${seconds} s: ${onOld} old, ${onNew} new`)
      return onNew >= 0.4 * READERS && onOld >= 0.4 * READERS
    }
    await waitFor(isEven, EVEN_WITHIN_MS, 'the streams to be spread evenly')
    await press.stop()
    // The reconciliation below names events that are still owed, with the log of their reader.
    await waitFor(() => ledger.owed === 0, 20_000, 'all readers to have everything').catch(error => t.comment(error))

    const { counts, violations } = ledger.reconcile()
    t.same(violations.kept, [])
    t.match(counts, { silentlyLost: 0, duplicated: 0, reordered: 0, announcedLost: 0 })
    t.ok(counts.acknowledged > 0 && counts.delivered > 0)
    t.ok(crowd.tallies.get('closed: max-age')! >= 0.4 * READERS, 'max age moved them')
    t.notOk(crowd.tallies.get('resumed false'), 'each came back to everything it missed')
    t.comment('the spread over time', spread)
  },
)
