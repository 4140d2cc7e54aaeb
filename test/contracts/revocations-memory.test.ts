import t from 'tap'
import { MemoryRevocations, MemorySightings } from '../../src/access/memory.js'
import { ProcessClock } from '../../src/clock.js'
import { testRevocations } from './revocations.js'

testRevocations(t, async () => {
  const clock = new ProcessClock()
  return { revocations: new MemoryRevocations(clock, 86_400_000), sightings: new MemorySightings(clock) }
})

t.test('what was revoked is forgotten when no credential of then can live any more, and not before', async t => {
  let now = 1_000_000
  const revocations = new MemoryRevocations(new ProcessClock(() => now), 1_000)
  const crowd = (name: string, size: number) => {
    for (let n = 0; n < size; n++) revocations.known.note(`${name}:${n}`, now)
  }
  await revocations.revoke('old')
  now += 1
  crowd('old', 700)
  now += 1_000
  crowd('young', 700)
  t.equal(revocations.known.revokedAt('old'), null)
  t.equal(revocations.known.revokedAt('old:0'), 1_000_001)
  now += 1_000
  crowd('youngest', 7_000)
  t.equal(revocations.known.revokedAt('old:0'), null)
  t.equal(revocations.known.revokedAt('youngest:0'), now)
  t.equal(revocations.known.table.digest.count, 7_700)
})

t.test('a clock that was set back a little: what was made while it was ahead is revoked too', async t => {
  let now = 1_700_000_000_000
  const clock = new ProcessClock(() => now)
  const revocations = new MemoryRevocations(clock, 86_400_000)
  const issuedAt = clock.now()
  now -= 60_000
  const at = await revocations.revoke('42')
  t.ok(revocations.known.covers('42', issuedAt))
  t.equal(at, issuedAt + 1_000)
  now -= 100_000_000
  await revocations.revoke('7')
  t.ok(revocations.known.revokedAt('7')! <= now + 300_000, 'but nobody is shut out for years')
})

t.test('sightings of a single process are bounded: the oldest go', async t => {
  const sightings = new MemorySightings(new ProcessClock(() => 1), 10)
  for (let n = 0; n < 12; n++) await sightings.note(`${n}`, 100)
  t.equal(await sightings.find('0'), null)
  t.equal(await sightings.find('11'), 1)
  t.equal(await sightings.find('2'), 1)
})
