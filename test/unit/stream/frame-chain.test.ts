import t from 'tap'
import { FrameChain } from '../../../src/stream/frame-chain.js'

const frames = ['a\n\n', 'bb\n\n', 'ccc\n\n'].map(text => Buffer.from(text)) as [Buffer, Buffer, Buffer]

t.test('frames join in the order they were owed', async t => {
  const [a, b, c] = frames
  const chain = new FrameChain(null, a).append(b).append(c)
  t.equal(chain.bytes.toString(), 'a\n\nbb\n\nccc\n\n')
  t.equal(chain.byteLength, chain.bytes.length)
})

t.test('a single frame is not copied', async t => {
  t.equal(new FrameChain(null, frames[0]).bytes, frames[0])
})

t.test('connections owed the same frames share one buffer, and others do not change it', async t => {
  const [a, b, c] = frames
  const first = new FrameChain(null, a)
  const one = first.append(b)
  t.equal(one, first.append(b))
  const other = first.append(c)
  t.equal(other.bytes.toString(), 'a\n\nccc\n\n')
  t.equal(one.bytes.toString(), 'a\n\nbb\n\n')
  t.equal(one.bytes, one.bytes)
  t.equal(first.bytes, a)
})

t.test('ten thousand frames join without deep recursion', async t => {
  let chain = new FrameChain(null, frames[0])
  for (let i = 1; i < 10_000; i++) chain = chain.append(frames[i % 3]!)
  t.equal(chain.bytes.length, chain.byteLength)
})
