import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import * as mistakes from '../../src/errors.js'
import * as failures from '../../src/failures.js'

const ROOT = new URL('../../../', import.meta.url)
const SCRIPT = new URL('scripts/errors-page.mjs', ROOT)
const page = readFileSync(new URL('docs/errors.md', ROOT), 'utf8')

const WHOLE = `
/**
 * Something is too long.
 * @mend Shorten it.
 * @retry never (publish, call)
 */
export const TooLong = createError('TIDINGS_TOO_LONG', 'it is too long', 413)
`

/** The script's complaints about a source. */
async function problemsOf(source: string): Promise<string> {
  const { readErrors } = await import(SCRIPT.href)
  try {
    readErrors([source])
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  return 'none'
}

t.test('docs/errors.md says what src/errors.ts and src/failures.ts say', async t => {
  const { status, stderr } = spawnSync(process.execPath, [fileURLToPath(SCRIPT)], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
})

t.test('every error that the program can throw has its code, status and retry on the page', async t => {
  let count = 0
  for (const [name, value] of Object.entries({ ...mistakes, ...failures })) {
    if (!/^[A-Z]/.test(name)) continue
    count++
    const { code, statusCode } = new (value as new () => { code: string; statusCode: number })() // they export no other class
    const [, section = ''] = page.split(`\n### ${code}\n`)
    t.match(section, new RegExp(`^\\n(Status|Thrown, with \`statusCode\`) ${statusCode}\\b.* Retry: \\*\\*`), name)
  }
  t.ok(count > 30, `${count} were found`)
})

t.test('every code that stands anywhere in the program is on the page', async t => {
  for (const folder of ['src', 'plugins']) {
    for (const file of readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts')) continue
      const text = readFileSync(new URL(`${folder}/${file}`, ROOT), 'utf8')
      for (const [, code] of text.matchAll(/['"`](TIDINGS(?:_[A-Z]+)+)['"`]/g)) {
        t.match(page, `\n### ${code}\n`, `${code} of ${folder}/${file}`)
      }
    }
  }
})

t.test('an error without its facts is refused, and told what it lacks', async t => {
  t.equal(await problemsOf(WHOLE), 'none')
  const bare = "export const TooLong = createError('TIDINGS_TOO_LONG', 'it is too long', 413)"
  t.equal(
    await problemsOf(bare),
    [
      'TooLong needs a comment that says its cause',
      'TooLong needs one line "@mend ..." in its comment: what its reader changes',
      'TooLong needs one line "@retry ..." in its comment: never, or after Retry-After, or same key; in brackets where it is met: stream, publish, access, other, call, start',
    ].join('\n'),
  )
  t.match(await problemsOf(WHOLE.replace('@retry never', '@retry maybe')), 'TooLong has "@retry maybe": it is never')
  t.match(
    await problemsOf(WHOLE.replace('publish, call', 'publish, home')),
    'TooLong is met at "home": it is one of stream',
  )
  const twin = WHOLE.replace('TooLong', 'FarTooLong').replace('@retry never', '@retry same key')
  t.match(await problemsOf(WHOLE + twin), 'FarTooLong and TooLong share a code but not their retry')
})

t.test('a value in a message is short and has no control characters', async t => {
  t.equal(mistakes.shown('a\n"b"'), 'a\\n\\"b\\"')
  t.equal(mistakes.shown('x'.repeat(99)), `${'x'.repeat(80)}...`)
})
