import t from 'tap'
import { type SseBlock, type SseEvent, SseParser } from './sse-parser.js'

const cases: { name: string; text: string; events: SseEvent[]; lastEventId?: string }[] = [
  {
    name: 'an event has its id, type and data lines',
    text: 'id: k-7\nevent: tick\ndata: a\ndata: b\n\n',
    events: [{ id: 'k-7', type: 'tick', data: 'a\nb' }],
  },
  {
    name: 'LF, CR LF and CR end lines',
    text: 'data: a\r\ndata: b\rdata: c\n\r',
    events: [{ id: '', type: 'message', data: 'a\nb\nc' }],
  },
  {
    name: 'only one space after the colon is taken',
    text: 'data:  a\n\ndata:b\n\n',
    events: [
      { id: '', type: 'message', data: ' a' },
      { id: '', type: 'message', data: 'b' },
    ],
  },
  {
    name: 'a block with only an id moves the last event id and dispatches nothing',
    text: 'id: k-9\n\n',
    events: [],
    lastEventId: 'k-9',
  },
  {
    name: 'a block that was not ended counts for nothing',
    text: 'data: a\n\nid: k-9\ndata: b\n',
    events: [{ id: '', type: 'message', data: 'a' }],
  },
  {
    name: 'the id stays for the events after it',
    text: 'id: 1\ndata: a\n\ndata: b\n\n',
    events: [
      { id: '1', type: 'message', data: 'a' },
      { id: '1', type: 'message', data: 'b' },
    ],
  },
  {
    name: 'an id with a NUL is ignored',
    text: 'id: 1\0\ndata: a\n\n',
    events: [{ id: '', type: 'message', data: 'a' }],
  },
  {
    name: 'an empty data line is an event with empty data',
    text: 'data\n\nevent: x\n\n',
    events: [{ id: '', type: 'message', data: '' }],
  },
  {
    name: 'a byte order mark at the start is dropped',
    text: '\uFEFFdata: a\n\n',
    events: [{ id: '', type: 'message', data: 'a' }],
  },
  {
    name: 'text beyond ASCII survives any cut',
    text: 'data: ü€😀\n\n',
    events: [{ id: '', type: 'message', data: 'ü€😀' }],
  },
]

for (const { name, text, events, lastEventId } of cases) {
  t.test(name, async t => {
    const bytes = Buffer.from(text)
    for (const size of [bytes.length, 1, 2, 3]) {
      const seen: SseEvent[] = []
      const blocks: SseBlock[] = []
      const parser = new SseParser((block, event) => {
        blocks.push(block)
        if (event) seen.push(event)
      })
      for (let start = 0; start < bytes.length; start += size) parser.push(bytes.subarray(start, start + size))
      t.same(seen, events, `in pieces of ${size}`)
      if (lastEventId !== undefined) t.equal(parser.lastEventId, lastEventId)
      t.ok(blocks.length >= events.length)
    }
  })
}

t.test('retry and comments are on their block, and the text of a block is what came', async t => {
  const blocks: SseBlock[] = []
  const parser = new SseParser(block => blocks.push(block))
  parser.push(Buffer.from(': hello\nretry: 2500\nretry: x\n\nid: 3\n\n'))
  t.same(blocks, [
    { text: ': hello\nretry: 2500\nretry: x\n\n', comments: [' hello'], retry: 2500 },
    { text: 'id: 3\n\n', comments: [], id: '3' },
  ])
  t.equal(parser.retryMs, 2500)
})
