import { readFileSync } from 'node:fs'
import t from 'tap'
import { CLOSE_REASONS } from '../../../src/stream/close-reason.js'

// docs/protocol.md is what others build clients from: it must know every reason and every control event.
const page = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8')

t.test('docs/protocol.md has each close reason, and says what the gateway says of it', async t => {
  for (const [reason, { shouldReconnect, retry }] of Object.entries(CLOSE_REASONS)) {
    const row = page
      .split('\n')
      .find(line => line.startsWith(`| \`${reason}\``) && line.includes(`\`${shouldReconnect}\``))
    t.ok(row, `${reason} with reconnect ${shouldReconnect}`)
    const range = `${retry.minMs}-${(retry.minMs + retry.spreadMs).toLocaleString('en')}`
    t.match(row ?? '', ` ${range}`, `${reason} after ${range} ms`)
  }
})

t.test('docs/protocol.md has each control event', async t => {
  const source = readFileSync(new URL('../../../../src/stream/control.ts', import.meta.url), 'utf8')
  const types = [...source.matchAll(/^ {2}'(stream\.\w+)': \w+$/gm)].map(([, type]) => type)
  t.ok(types.length >= 4, types.join(', '))
  for (const type of types) t.match(page, `\n### ${type}\n`, String(type))
})
