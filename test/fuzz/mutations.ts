import fc, { type Arbitrary } from 'fast-check'

/** Flips, cuts, doubles or inserts bytes, in one to four places. */
export function mutated(whole: Arbitrary<Buffer>): Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.nat(),
    length: fc.nat(20),
    insert: fc.uint8Array({ maxLength: 8 }),
    isDouble: fc.boolean(),
  })
  return fc.tuple(whole, fc.array(change, { minLength: 1, maxLength: 4 })).map(([bytes, changes]) => {
    let changed = bytes
    for (const { at, length, insert, isDouble } of changes) {
      const from = at % (changed.length + 1)
      const rest = changed.subarray(isDouble ? from : from + length)
      changed = Buffer.concat([changed.subarray(0, from + (isDouble ? length : 0)), Buffer.from(insert), rest])
    }
    return changed
  })
}
