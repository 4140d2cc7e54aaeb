import fc from 'fast-check'
import t from 'tap'
import { EventStreamParser, type StreamEvent } from '../../../src/client/event-stream.js'
import { formatCursor } from '../../../src/cursor.js'
import { encodeControl, encodeEvent, encodeHeartbeat } from '../../../src/stream/frame.js'

function parse(...pieces: string[]) {
  const events: StreamEvent[] = []
  const parser = new EventStreamParser(event => events.push(event))
  for (const piece of pieces) parser.push(piece)
  return { events, parser }
}

t.test('fields, comments, several data lines and empty values are read as the standard says', async t => {
  const { events } = parse(
    ': a comment\n\nid: k-1\nevent: tick\ndata: a\ndata:  b\ndata\n\ndata:x\n\nevent: none\n\nid\ndata: y\n\n',
  )
  t.same(events, [
    { id: 'k-1', type: 'tick', data: 'a\n b\n' },
    { id: 'k-1', type: 'message', data: 'x' },
    { id: '', type: 'message', data: 'y' },
  ])
})

t.test('an id without data moves the position and dispatches nothing', async t => {
  const { events, parser } = parse('id: k-9\n\n')
  t.same(events, [])
  t.equal(parser.lastEventId, 'k-9')
})

t.test('a block that was cut off before its blank line moves nothing', async t => {
  const { events, parser } = parse('id: k-1\ndata: a\n\nid: k-2\ndata: b\n')
  t.same(events, [{ id: 'k-1', type: 'message', data: 'a' }])
  t.equal(parser.lastEventId, 'k-1')
})

t.test('an id with NUL and a retry that is no number are ignored', async t => {
  const { parser } = parse('id: a\0b\nretry: 12x\ndata: a\n\n')
  t.equal(parser.lastEventId, '')
  t.equal(parser.retryMs, null)
  parser.push('retry: 250\n\n')
  t.equal(parser.retryMs, 250)
})

t.test('CR, LF and CR LF end lines alike, and a byte order mark at the start is no data', async t => {
  const { events } = parse('\ufeffdata: a\r\rdata: b\r\n\r\ndata: c\n\n')
  t.same(
    events.map(event => event.data),
    ['a', 'b', 'c'],
  )
})

t.test('however the text is cut, the events are the same', async t => {
  const text = 'id: k-1\r\nevent: tick\r\ndata: a\r\ndata: ü😀\r\n\r\nretry: 7\r\rid: k-2\n\n:\n\ndata: {"n": 1}\n\n'
  const whole = parse(text)
  t.equal(whole.events.length, 2)
  const property = fc.assert(
    fc.asyncProperty(fc.array(fc.nat(text.length), { maxLength: 12 }), async at => {
      const cuts = [0, ...at.sort((a, b) => a - b), text.length]
      const cut = parse(...cuts.slice(1).map((end, i) => text.slice(cuts[i], end)))
      return (
        JSON.stringify(cut.events) === JSON.stringify(whole.events) &&
        cut.parser.lastEventId === whole.parser.lastEventId
      )
    }),
  )
  await t.resolves(property)
})

const OPEN = { connectionId: 'c', userId: '42', rooms: [], resumed: null, heartbeatMs: 25_000 }

t.test('what the gateway encodes is read back, whatever text an event holds', async t => {
  const cursor = { epoch: 'k3', seq: 7 }
  const property = fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), async text => {
      const event = { cursor, room: 'hub', type: 'tick', at: 1, data: JSON.stringify(text), ephemeral: false }
      const { events } = parse(
        encodeControl('stream.open', OPEN).toString(),
        encodeEvent(event, false).toString(),
        encodeHeartbeat(cursor).toString(),
      )
      const data = Buffer.from(text.replace(/\r\n|\r/g, '\n')).toString()
      return JSON.stringify(events[1]) === JSON.stringify({ id: formatCursor(cursor), type: 'tick', data })
    }),
  )
  await t.resolves(property)
})
