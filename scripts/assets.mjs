// Copies what the compiler leaves behind (Lua scripts, pages) next to the compiled files that read them.
import { chmodSync, cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'

const ASSET = /\.(lua|html)$/

// An image holds no examples.
for (const folder of ['src', 'plugins', 'examples'].filter(path => existsSync(path))) {
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (ASSET.test(file)) cpSync(`${folder}/${file}`, `dist/${folder}/${file}`)
  }
}

// What was compiled from a source that is gone would run on, and be packed.
for (const folder of ['src', 'plugins'].map(name => `dist/${name}`).filter(path => existsSync(path))) {
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const source = `${folder.slice('dist/'.length)}/${file.replace(/\.(d\.ts|js|js\.map)$/, '.ts')}`
    if (/\.(ts|js|map|lua|html)$/.test(file) && !existsSync(source)) rmSync(`${folder}/${file}`)
  }
}

// `npx tidings` in this folder runs the file itself.
chmodSync('dist/src/cli.js', 0o755)
// When the build that this ends was made; see isBuiltSince() in set-up.mjs.
writeFileSync(`dist/${process.argv[2]}`, '')
