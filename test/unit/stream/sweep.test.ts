import t from 'tap'
import { cutStuck } from '../../../src/stream/sweep.js'
import { createConnection } from '../../helpers/connection.js'

function connect(clock: { ms: number }) {
  const made = createConnection({ now: () => clock.ms })
  made.output.stall()
  return made
}

t.test('readers that do not take their last bytes within 5 s are cut, few in one turn of the event loop', async t => {
  const clock = { ms: 0 }
  const all = Array.from({ length: 25 }, () => connect(clock))
  const connections = all.map(({ connection }) => connection)
  const cut = () => all.filter(({ output }) => output.destroyed).length
  for (const connection of connections.slice(1)) connection.close('slow', 1_000)
  clock.ms = 4_999
  cutStuck(connections)
  t.equal(cut(), 0, 'they have time')
  clock.ms = 5_000
  cutStuck(connections)
  const seen = [cut()]
  while (seen.at(-1)! < 24) {
    await new Promise(resolve => setImmediate(resolve))
    seen.push(cut())
  }
  t.same(seen, [10, 20, 24], 'live events pass in between')
  t.notOk(all[0]!.output.destroyed, 'one that is open stays')
})
