import fc from 'fast-check'
import t from 'tap'
import { Backlog } from '../../../src/stream/backlog.js'

t.test('what was pushed comes out in order, each byte once, and counts what it has', async t => {
  const frames = fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 4_000, max: 9_000 })), { maxLength: 80 })
  fc.assert(
    fc.property(frames, fc.nat(80), (sizes, takeAt) => {
      const backlog = new Backlog()
      const pushed = sizes.map((size, n) => Buffer.alloc(size, n + 1))
      const taken: Buffer[] = []
      for (const [n, frame] of pushed.entries()) {
        if (n === takeAt) taken.push(...backlog.takeAll())
        backlog.push(frame)
        const since = pushed.slice(n >= takeAt ? takeAt : 0, n + 1)
        if (backlog.byteLength !== since.reduce((sum, { length }) => sum + length, 0)) throw new Error(`at frame ${n}`)
      }
      taken.push(...backlog.takeAll())
      t.ok(Buffer.concat(taken).equals(Buffer.concat(pushed)))
      t.equal(backlog.byteLength, 0)
      t.same(backlog.takeAll(), [])
    }),
  )
})

t.test('small frames take about the memory that they count, large ones none of their own', async t => {
  const backlog = new Backlog()
  const large = Buffer.alloc(50_000)
  let small = 0
  for (let n = 0; n < 20_000; n++) {
    // A small Buffer is a slice of Node's pool, and would keep the whole pool alive.
    const frame = Buffer.from(`data: ${n}\n\n`)
    small += frame.length
    backlog.push(frame)
    if (n % 1_000 === 999) backlog.push(large)
  }
  const blocks = backlog.takeAll()
  t.equal(blocks.filter(({ buffer }) => buffer === large.buffer).length, 20)
  const own = new Set(blocks.map(({ buffer }) => buffer).filter(buffer => buffer !== large.buffer))
  const bytes = [...own].reduce((sum, { byteLength }) => sum + byteLength, 0)
  t.ok(bytes < 1.5 * small, `${bytes} bytes for ${small}`)
  t.ok(blocks.length < 80, `${blocks.length} pieces to write`)
})
