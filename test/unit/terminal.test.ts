import t from 'tap'
import { createFormat } from '../../src/terminal.js'

const format = (await createFormat(false))!

t.test('a line for people: time, level, message, and the rest behind it', async t => {
  const line = format('{"level":30,"time":1700000000000,"userId":"42","rooms":3,"msg":"connection opened"}\n')
  t.match(line, /^\[\d\d:\d\d:\d\d\.000\] INFO: connection opened \{"userId":"42","rooms":3\}\n$/)
})

t.test('what a client chose cannot move the cursor: controls stay escaped', async t => {
  const msg = 'a\x1b[2Jb\rc\bd\x7fe\x9bf\\u001bg\ttab\nline'
  const line = format(
    JSON.stringify({ level: 40, time: 0, msg, user: msg, err: { type: 'Error', message: msg, stack: msg } }),
  )
  t.notMatch(line.replace(/[\n\t]/g, ''), /\p{Cc}/u)
  t.match(line, 'a\\u001b[2Jb\\rc\\bd\\u007fe\\u009bf\\u001bg\ttab\n')
})

t.test('colours only when they are wanted', async t => {
  const line = '{"level":50,"time":0,"msg":"x"}'
  t.match((await createFormat(true))!(line), '\x1b[')
  t.notMatch(format(line), '\x1b[')
})
