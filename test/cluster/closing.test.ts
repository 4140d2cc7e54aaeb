import t from 'tap'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { openStream } from '../helpers/sse.js'

const PAD = 'x'.repeat(60_000)

t.test('a stream that comes while the gateway closes is told shutdown with a 200, never a 503', async t => {
  const gateway = await startGateway(t, { DRAIN_WINDOW_MS: '0', QUEUE_LIMIT_BYTES: '67108864' })
  // A reader that takes nothing keeps the gateway closing for as long as it grants to last bytes.
  const stuck = await openStream(t, `${gateway.url}/v1/stream?user=1`)
  stuck.pause()
  for (let sent = 0; sent < 300; sent++) {
    const body = JSON.stringify({ type: 'tick', data: PAD })
    const headers = { 'content-type': 'application/json' }
    await fetch(`${gateway.url}/v1/broadcast`, { method: 'POST', headers, body })
  }
  gateway.signal('SIGTERM')
  await waitFor(() => gateway.logs.some(({ msg }) => msg === 'draining'), 5000, 'the gateway to drain')
  let served = 0
  while (gateway.isRunning) {
    const late = await openStream(t, `${gateway.url}/v1/stream?user=2`).catch(() => undefined)
    if (!late) continue
    await late.ended
    t.equal(late.status, 200)
    t.match(late.raw, /^retry: \d+\nevent: stream\.close\ndata: \{"reason":"shutdown"/)
    served++
  }
  t.ok(served > 0, 'some came in time')
  t.equal(await gateway.exited, 0)
})
