import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = new URL('../../../', import.meta.url)
const DOCS = readdirSync(new URL('docs/', ROOT))
  .filter(name => name.endsWith('.md'))
  .map(name => `docs/${name}`)

const read = (page: string | URL) => readFileSync(new URL(page, ROOT), 'utf8')

t.test('the configuration table in docs/ is what the program reads', async t => {
  const script = fileURLToPath(new URL('scripts/config-table.mjs', ROOT))
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
})

for (const page of ['README.md', ...DOCS, 'src/README.md', 'examples/README.md']) {
  t.test(`every file and heading that ${page} points to is there`, async t => {
    for (const { path, heading } of linksOf(read(page))) {
      const target = path === '' ? new URL(page, ROOT) : new URL(path, new URL(page, ROOT))
      t.ok(existsSync(target), path)
      if (heading !== '') t.ok(anchorsOf(read(target)).includes(heading), `${path}#${heading}`)
    }
  })
}

t.test('the map in docs/README.md names every page in docs/', async t => {
  const named = linksOf(read('docs/README.md')).map(({ path }) => `docs/${path}`)
  for (const page of DOCS.filter(each => each !== 'docs/README.md')) t.ok(named.includes(page), page)
})

function linksOf(markdown: string): { path: string; heading: string }[] {
  const targets = [...markdown.matchAll(/\]\(([^)]+)\)/g)].map(match => match[1]!)
  return targets
    .filter(target => !target.includes('://'))
    .map(target => ({ path: target.split('#')[0]!, heading: target.split('#')[1] ?? '' }))
}

// As GitHub names headings.
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(match =>
    match[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
