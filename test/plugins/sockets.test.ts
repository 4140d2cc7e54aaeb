import { connect, type Socket } from 'node:net'
import t from 'tap'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { openStream } from '../helpers/sse.js'

t.test('a flood of sockets without a request evicts itself: readers and publishers get through', async t => {
  // 1,000 and a tenth of these may wait.
  const { url } = await startApp(t, { maxConnections: 10, heartbeatMs: 1_000 })
  const before = await openStream(t, `${url}/v1/stream?user=1`)
  await before.next('stream.open')
  const flood = Array.from({ length: 1_100 }, (): Socket => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    return socket.on('error', () => {})
  })
  await waitFor(() => flood.filter(({ closed }) => closed).length >= 99, 15_000, 'the oldest to be cut')
  const reader = await openStream(t, `${url}/v1/stream?user=2`)
  await reader.next('stream.open')
  t.equal((await fetch(`${url}/livez`)).status, 200)
  t.notOk(before.destroyed, 'a stream is no part of it')
  t.ok(flood.filter(({ closed }) => closed).length < 110, 'no more than needed')
})
