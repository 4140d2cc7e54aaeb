import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = new URL('../../../', import.meta.url)

t.test("the README's configuration table is what the program reads", async t => {
  const script = fileURLToPath(new URL('scripts/config-table.mjs', ROOT))
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
})

for (const page of ['README.md', 'src/README.md', 'examples/README.md']) {
  t.test(`every file that ${page} points to is there`, async t => {
    const text = readFileSync(new URL(page, ROOT), 'utf8')
    const targets = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(match => match[1]!)
    for (const target of targets.filter(each => !each.includes('://'))) {
      t.ok(existsSync(new URL(target, new URL(page, ROOT))), target)
    }
  })
}
