import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { openStream } from '../helpers/sse.js'

t.test('a flood of sockets without a request evicts itself: readers and publishers get through', async t => {
  // 1,000 sockets and a tenth of `maxConnections` may wait.
  const { url } = await startApp(t, { maxConnections: 10, heartbeatMs: 1_000 })
  const before = await openStream(t, `${url}/v1/stream?user=1`)
  await before.next('stream.open')
  const flood: Socket[] = []
  // A hundred at a time: a socket that overflows the listen queue is open for its peer, but not yet for the server.
  while (flood.length < 1_100) {
    const some = Array.from({ length: 100 }, () => connect(Number(new URL(url).port), '127.0.0.1'))
    for (const socket of some) {
      t.teardown(() => socket.destroy())
      socket.on('error', () => {})
    }
    await Promise.all(some.map(socket => once(socket, 'connect')))
    flood.push(...some)
  }
  await waitFor(() => flood.filter(({ closed }) => closed).length >= 99, 5_000, 'the oldest to be cut')
  t.ok(flood.filter(({ closed }) => closed).length < 110, 'no more than needed')
  const reader = await openStream(t, `${url}/v1/stream?user=2`)
  await reader.next('stream.open')
  t.equal((await fetch(`${url}/livez`)).status, 200)
  t.notOk(before.destroyed, 'a stream is no part of it')
})
