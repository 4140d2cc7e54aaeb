import type { Test } from 'tap'
import type { RevocationStore } from '../../src/access/revocations.js'
import type { SightingStore } from '../../src/access/sightings.js'

/** Makes the unused stores of one replica. */
export type CreateStores = (t: Test) => Promise<{ revocations: RevocationStore; sightings: SightingStore }>

/** The contract of every store of revocations and of credentials that are dated ahead. */
export function testRevocations(t: Test, create: CreateStores): void {
  t.test('a revocation covers what was made until then, and nothing of others', async t => {
    const { revocations } = await create(t)
    const { known } = revocations
    await revocations.learn()
    t.equal(known.revokedAt('42'), null)
    t.notOk(known.covers('42', 0))
    const before = Date.now()
    const at = await revocations.revoke('42')
    t.ok(Number.isInteger(at) && Math.abs(at - before) < 5_000, 'now')
    t.equal(known.revokedAt('42'), at)
    t.same(
      [0, at - 1, at, at + 1, null].map(issuedAt => known.covers('42', issuedAt)),
      [true, true, true, false, false],
    )
    t.notOk(known.covers('7', 0))
    t.notOk(known.covers('4', 0))
  })

  t.test('one user can be asked about before everything was learnt', async t => {
    const { revocations } = await create(t)
    const at = await revocations.revoke('42')
    await revocations.ask('42')
    await revocations.ask('7')
    await revocations.ask('')
    t.equal(revocations.known.revokedAt('42'), at)
    t.equal(revocations.known.revokedAt('7'), null)
  })

  t.test('of two revocations of a user the later one stands, in whatever order they are heard of', async t => {
    const { revocations } = await create(t)
    const at = await revocations.revoke('42')
    t.notOk(revocations.known.note('42', at - 1_000), 'older news')
    t.equal(revocations.known.revokedAt('42'), at)
    t.ok(revocations.known.note('42', at + 1_000))
    t.equal(revocations.known.revokedAt('42'), at + 1_000)
    t.notOk(revocations.known.note('42', at + 1_000), 'the same again')
  })

  t.test('to learn and to restore where nothing was missed or lost changes nothing', async t => {
    const { revocations } = await create(t)
    const at = await revocations.revoke('42')
    for (let n = 0; n < 3; n++) {
      t.notOk(await revocations.learn(), 'no news')
      t.notOk(await revocations.restore(), 'nothing lost')
    }
    t.equal(revocations.known.revokedAt('42'), at)
    t.equal(revocations.known.table.digest.count, 1)
  })

  t.test('a credential is seen first once, and one that nobody showed never', async t => {
    const { sightings } = await create(t)
    t.equal(await sightings.find('a'), null)
    const before = Date.now()
    const first = await sightings.note('a', before + 60_000)
    t.ok(Math.abs(first - before) < 5_000, 'now')
    for (const start = Date.now(); Date.now() <= start + 2; );
    t.equal(await sightings.note('a', before + 120_000), first)
    t.equal(await sightings.find('a'), first)
    t.equal(await sightings.find('b'), null)
    t.ok(Number.isFinite(await sightings.note('c', 1e300)), 'a date that no store can hold')
    t.ok(Number.isFinite(await sightings.note('d', 0)), 'one that is over')
  })
}
