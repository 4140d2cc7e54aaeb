// @ts-check
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

// Shows a gateway's CPU time by layer: `node bench/profile.mjs FOLDER` reads the profiles of `npm run bench -- --profile FOLDER`.

/** Leaves out the first two seconds, in which the process loads and compiles. */
const START_MICROS = 2_000_000
const NATIVE_WRITES = new Set(['writeBuffer', 'writeUtf8String', 'writeLatin1String', 'writeString', 'writev'])

/**
 * The parts of a `.cpuprofile` that this program reads.
 * @typedef {{ id: number, callFrame: { functionName: string, url: string }, children?: number[] }} Node
 * @typedef {{ nodes: Node[], samples: number[], timeDeltas: number[] }} Profile
 */

const folder = process.argv[2] ?? '.'
for (const file of readdirSync(folder).filter(name => name.endsWith('.cpuprofile'))) {
  const layers = layersOf(JSON.parse(readFileSync(join(folder, file), 'utf8')))
  const busy = [...layers.values()].reduce((sum, micros) => sum + micros, 0)
  process.stdout.write(`\n${file}: ${Math.round(busy / 1000)} ms busy after its first 2 s\n`)
  for (const [layer, micros] of [...layers].sort(([, a], [, b]) => b - a)) {
    if (micros > busy / 200) process.stdout.write(`${((100 * micros) / busy).toFixed(1).padStart(6)} %  ${layer}\n`)
  }
}

/** @param {Profile} profile */
function layersOf({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id])))
  /** @type {Map<string, number>} */
  const layers = new Map()
  let clock = 0
  for (const [index, sample] of samples.entries()) {
    const micros = timeDeltas[index] ?? 0
    clock += micros
    const layer = clock > START_MICROS ? layerOf(sample, byId, parents) : undefined
    if (layer !== undefined) layers.set(layer, (layers.get(layer) ?? 0) + micros)
  }
  return layers
}

/**
 * Native code has no file: it counts for its caller, unless its own name says the layer.
 * @param {number} sample
 * @param {Map<number, Node>} byId
 * @param {Map<number, number>} parents
 */
function layerOf(sample, byId, parents) {
  const name = byId.get(sample)?.callFrame.functionName ?? ''
  if (name === '(idle)') return undefined
  if (name === '(garbage collector)' || name === '(program)') return name
  if (NATIVE_WRITES.has(name)) return `native ${name}`
  for (let id = /** @type {number | undefined} */ (sample); id !== undefined; id = parents.get(id)) {
    const url = byId.get(id)?.callFrame.url ?? ''
    if (url !== '') return layerOfFile(url)
  }
  return 'node, other'
}

/** @param {string} url */
function layerOfFile(url) {
  const [, module] = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? []
  if (module !== undefined) return module
  const [, own] = /\/dist\/(.+)$/.exec(url) ?? []
  if (own !== undefined) return `tidings ${own}`
  if (url.includes('http')) return 'node, http'
  return /net|stream|socket/.test(url) ? 'node, sockets and streams' : 'node, other'
}
