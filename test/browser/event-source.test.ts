import t from 'tap'
import { createEmitter } from '../../src/emitter.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { openBrowser, openPage } from './helpers.js'

const EVENTS = 1_000
const DEADLINE_MS = 60_000

t.test(
  'the browser comes back by itself after a replica was killed: no hole, no duplicate over a thousand events',
  async t => {
    const redis = await startRedis(t)
    const historySize = EVENTS
    const env = { SSE_ADAPTER: 'redis', REDIS_URL: redis.url, HISTORY_SIZE: `${historySize}` }
    const gateway = await startGateway(t, env, { until: 'ready' })
    const emitter = createEmitter({ redisUrl: redis.url, historySize })
    t.teardown(() => emitter.close())
    const { page } = await openPage(await openBrowser(t))
    await page.goto(`${gateway.url}/livez`)
    await page.evaluate(() => {
      const seen = { ticks: [] as number[], opens: [] as (boolean | null)[], gaps: 0, errors: 0 }
      Object.assign(window, { seen })
      const source = new EventSource('/v1/stream?user=42')
      source.addEventListener('tick', ({ data }) => seen.ticks.push(JSON.parse(data)))
      source.addEventListener('stream.open', ({ data }) => seen.opens.push(JSON.parse(data).resumed))
      source.addEventListener('stream.gap', () => seen.gaps++)
      source.onerror = () => seen.errors++
    })
    // Safe: the page has set it, just above.
    const seen = () => page.evaluate(() => (window as unknown as { seen: Seen }).seen)
    await waitFor(async () => (await seen()).opens.length === 1, DEADLINE_MS, 'the stream to open')

    const emitTo = async (end: number) => {
      for (; next < end; next++) await emitter.emit('42', { type: 'tick', data: next })
    }
    let next = 0
    await emitTo(EVENTS * 0.4)
    // Kill it in mid-stream: some events are on their way, and some are still in the dead process.
    await gateway.kill()
    await emitTo(EVENTS * 0.8)
    await gateway.restart()
    await emitTo(EVENTS)
    await waitFor(async () => (await seen()).ticks.length >= EVENTS, DEADLINE_MS, 'a thousand events')
    const { ticks, opens, gaps, errors } = await seen()
    t.same(ticks, [...Array(EVENTS).keys()])
    t.same(opens, [null, true])
    t.equal(gaps, 0)
    t.ok(errors > 0, 'the page saw the break')
  },
)

interface Seen {
  readonly ticks: number[]
  readonly opens: (boolean | null)[]
  readonly gaps: number
  readonly errors: number
}
