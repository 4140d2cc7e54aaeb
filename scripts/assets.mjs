// Copies the files that the compiler leaves out (Lua scripts, pages) next to the compiled files that read them.
import { chmodSync, cpSync, existsSync, readdirSync, writeFileSync } from 'node:fs'

const ASSET = /\.(lua|html)$/

// The image has no folder of examples.
for (const folder of ['src', 'plugins', 'examples'].filter(path => existsSync(path))) {
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (ASSET.test(file)) cpSync(`${folder}/${file}`, `dist/${folder}/${file}`)
  }
}

// `npx tidings` in this folder runs this file itself.
chmodSync('dist/src/cli.js', 0o755)
// Its time is that of the last whole build; see isBuilt() in set-up.mjs.
writeFileSync('dist/.built', '')
