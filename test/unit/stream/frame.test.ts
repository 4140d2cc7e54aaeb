import fc from 'fast-check'
import t from 'tap'
import type { Event } from '../../../src/event.js'
import { closeOf, type StreamOpen } from '../../../src/stream/control.js'
import { COMMENT_FRAME, encodeControl, encodeEvent, encodeHeartbeat } from '../../../src/stream/frame.js'
import { type SseEvent, SseParser } from '../../helpers/sse-parser.js'

const event = (data: string, more: Partial<Event> = {}): Event => ({
  cursor: { epoch: 'k3', seq: 7 },
  room: 'hub',
  type: 'tick',
  at: 1_700_000_000_123,
  data,
  ephemeral: false,
  ...more,
})
const bytes = (data: unknown, envelope = false) => encodeEvent(event(JSON.stringify(data)), envelope).toString()

t.test('JSON stands in one data line as published', async t => {
  t.equal(bytes({ a: [1, 'x'] }), 'id: k3-7\nevent: tick\ndata: {"a":[1,"x"]}\n\n')
  t.equal(
    encodeEvent(event('{"n":1.0, "big":9007199254740993}'), false).toString(),
    'id: k3-7\nevent: tick\ndata: {"n":1.0, "big":9007199254740993}\n\n',
  )
  t.equal(bytes(null), 'id: k3-7\nevent: tick\ndata: null\n\n')
})

t.test('a string stands as its lines: CR LF, CR and LF each end one', async t => {
  t.equal(bytes('a\nb'), 'id: k3-7\nevent: tick\ndata: a\ndata: b\n\n')
  t.equal(bytes('a\r\nb\rc\nd'), 'id: k3-7\nevent: tick\ndata: a\ndata: b\ndata: c\ndata: d\n\n')
  t.equal(bytes('\n'), 'id: k3-7\nevent: tick\ndata: \ndata: \n\n')
  t.equal(bytes(''), 'id: k3-7\nevent: tick\ndata: \n\n')
  t.equal(bytes(' leading'), 'id: k3-7\nevent: tick\ndata:  leading\n\n')
  t.equal(bytes('a\n\nid: 9\n\n'), 'id: k3-7\nevent: tick\ndata: a\ndata: \ndata: id: 9\ndata: \ndata: \n\n')
})

t.test('an envelope is one line, with the payload as published', async t => {
  t.equal(
    bytes('a\nb', true),
    'id: k3-7\nevent: tick\ndata: {"room":"hub","type":"tick","at":1700000000123,"data":"a\\nb"}\n\n',
  )
})

t.test('control events, heartbeats and comments', async t => {
  const id = { epoch: 'k3', seq: 7 }
  t.equal(
    encodeControl('stream.open', { a: 1 } as unknown as StreamOpen).toString(),
    'event: stream.open\ndata: {"a":1}\n\n',
  )
  t.equal(encodeControl('stream.open', {} as StreamOpen, id).toString(), 'id: k3-7\nevent: stream.open\ndata: {}\n\n')
  t.equal(
    encodeControl('stream.close', closeOf('slow', 1234.5)).toString(),
    'retry: 1235\nevent: stream.close\ndata: {"reason":"slow","reconnect":true,"retryMs":1235}\n\n',
  )
  t.equal(encodeHeartbeat(id).toString(), 'id: k3-7\n\n')
  t.equal(COMMENT_FRAME.toString(), ':\n\n')
})

t.test('an id or a type that could forge a frame is refused here too', async t => {
  for (const bad of ['a\nb', 'a\rb', 'a\u0000', '\r\n']) {
    t.throws(() => encodeEvent(event('1', { type: bad }), false), TypeError)
    t.throws(() => encodeEvent(event('1', { type: bad }), true), TypeError)
    t.throws(() => encodeEvent(event('1', { cursor: { epoch: bad, seq: 1 } }), false), TypeError)
    t.throws(() => encodeHeartbeat({ epoch: bad, seq: 1 }), TypeError)
  }
  t.throws(() => encodeEvent(event('{\n}'), false), TypeError)
})

function parsed(frame: Buffer): SseEvent[] {
  const events: SseEvent[] = []
  new SseParser((_, event) => event && events.push(event)).push(frame)
  return events
}

t.test('any text arrives at an EventSource as one event, its line ends as line feeds', async t => {
  const hard = fc.string({
    unit: fc.constantFrom('\r', '\n', 'a', ' ', ':', 'id: 1', 'event:', '\ufeff', '😀', '\u2028', '\u0000'),
  })
  fc.assert(
    fc.property(fc.oneof(hard, fc.string({ unit: 'grapheme' })), text => {
      const frame = encodeEvent(event(JSON.stringify(text)), false)
      t.same(parsed(frame), [{ id: 'k3-7', type: 'tick', data: text.replace(/\r\n|\r/g, '\n') }])
      const [envelope] = parsed(encodeEvent(event(JSON.stringify(text)), true))
      t.equal(JSON.parse(envelope!.data).data, text)
    }),
  )
})
