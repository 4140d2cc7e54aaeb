import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { waitFor } from '../helpers/deadline.js'
import { freePort } from '../helpers/ports.js'
import { startLink } from './proxy.js'

/** Starts an echo server, a link before it, and a client of the link. */
async function startEcho(t: Test) {
  const port = await freePort()
  const served = new Set<Socket>()
  const server = createServer(socket => {
    served.add(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const link = await startLink(t, port)
  t.teardown(() => {
    for (const socket of served) socket.destroy()
    server.close()
  })
  const dial = () => {
    const client = connect(link.port, '127.0.0.1').setNoDelay(true)
    const echo = { client, text: '', isOver: false }
    client.setEncoding('latin1').on('data', text => {
      echo.text += text
    })
    client.on('error', () => {})
    client.on('close', () => {
      echo.isOver = true
    })
    t.teardown(() => client.destroy())
    return echo
  }
  return { link, dial }
}

t.test('bytes keep their order while the delay changes', async t => {
  const { link, dial } = await startEcho(t)
  const echo = dial()
  let sent = ''
  for (let n = 0; n < 300; n++) {
    link.delay(n % 50 < 25 ? 20 : 0)
    sent += `${n} `
    echo.client.write(`${n} `)
    await wait(1)
  }
  await waitFor(() => echo.text.length === sent.length, 5000, 'all bytes to come back')
  t.equal(echo.text, sent)
})

t.test(
  'a frozen link holds bytes and delivers them, a half-open one loses them and resets, a cut one refuses',
  async t => {
    const { link, dial } = await startEcho(t)
    const held = dial()
    held.client.write('1')
    await waitFor(() => held.text === '1', 5000, 'the first byte')
    link.set('frozen')
    held.client.write('2')
    await wait(50)
    t.equal(held.text, '1')
    link.set('open')
    await waitFor(() => held.text === '12', 5000, 'the byte that was held')
    link.set('half-open')
    held.client.write('3')
    await wait(50)
    t.equal(held.text, '12')
    t.notOk(held.isOver)
    link.set('open')
    await waitFor(() => held.isOver, 5000, 'the reset')
    link.set('cut')
    const refused = dial()
    await waitFor(() => refused.isOver, 5000, 'the refusal')
    t.equal(refused.text, '')
  },
)
