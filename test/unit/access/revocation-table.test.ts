import fc from 'fast-check'
import t from 'tap'
import { formatUserKey, RevocationTable, userKeyOf } from '../../../src/access/revocation-table.js'

t.test('a user is 16 hex digits of the SHA-256 of the id', async t => {
  // printf 42 | sha256sum
  t.equal(formatUserKey(userKeyOf('42')), '73475cb40a568e8d')
  t.equal(formatUserKey({ high: 0, low: 10 }), '000000000000000a')
})

t.test('the table is a map from users to their last revocation, and its digest says what is in it', async t => {
  // Few keys, many of which share a slot, and few times: so collisions of all kinds come up.
  const key = fc.record({
    high: fc.integer({ min: 0, max: 3 }),
    low: fc.constantFrom(0, 1, 1_024, 2_048, 4_294_967_295),
  })
  const step = fc.oneof(
    { weight: 9, arbitrary: fc.record({ key, at: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 1, arbitrary: fc.record({ before: fc.integer({ min: 1, max: 20 }) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const table = new RevocationTable()
      const model = new Map<string, number>()
      for (const step of steps) {
        if ('before' in step) {
          table.prune(step.before)
          for (const [user, at] of model) if (at < step.before) model.delete(user)
          continue
        }
        const user = formatUserKey(step.key)
        const isNews = (model.get(user) ?? 0) < step.at
        if (isNews) model.set(user, step.at)
        if (table.set(step.key.high, step.key.low, step.at) !== isNews || table.get(step.key) !== model.get(user))
          return false
      }
      const sum = [...model].reduce((sum, [user, at]) => sum + at + Number.parseInt(user.slice(0, 8), 16), 0)
      return table.digest.count === model.size && table.digest.sum === sum
    }),
  )
  t.pass('for 100 histories')
})

t.test('ten thousand users are found again, whatever the table had to grow and forget', async t => {
  const table = new RevocationTable()
  const keys = Array.from({ length: 10_000 }, (_, n) => userKeyOf(`user:${n}`))
  for (const [n, { high, low }] of keys.entries()) table.set(high, low, n + 1)
  t.ok(keys.every((key, n) => table.get(key) === n + 1))
  t.equal(table.get(userKeyOf('nobody')), 0)
  table.prune(9_001)
  t.equal(table.digest.count, 1_000)
  t.ok(keys.every((key, n) => table.get(key) === (n < 9_000 ? 0 : n + 1)))
})

t.test('what was not seen elsewhere is told, also while the table grows', async t => {
  const table = new RevocationTable()
  const pass = table.beginPass()
  for (let n = 1; n <= 700; n++) table.set(n, n, n, n % 2 === 0 ? pass : 0)
  const unseen = table.unseen(600, pass)
  const first = unseen.next().value
  for (let n = 701; n <= 5_000; n++) table.set(n, n, n, pass)
  const users = [first, ...unseen].map(entry => entry![1])
  t.same(
    users.sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, n) => 601 + 2 * n),
  )
  // The table has a later time than the other side.
  table.set(2, 2, 10_000)
  table.set(2, 2, 2, table.beginPass())
  t.same([...table.unseen(10_000, 2)], [['0000000200000002', 10_000]])
  for (let n = 0; n < 300; n++) t.not(table.beginPass(), 0)
})
