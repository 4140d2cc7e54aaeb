import { get } from 'node:http'

// node livez.js url...: asks /livez of every URL each 50 ms, and prints on SIGTERM how each one answered.

const STEP_MS = 50
const TIMEOUT_MS = 5_000

interface Answers {
  asked: number
  failed: number
  longestMs: number
}

const answers = new Map<string, Answers>()

for (const url of process.argv.slice(2)) {
  const counted: Answers = { asked: 0, failed: 0, longestMs: 0 }
  answers.set(url, counted)
  ask(url, counted)
}

process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(Object.fromEntries(answers))}\n`, () => process.exit(0))
})

function ask(url: string, counted: Answers): void {
  const startedAt = performance.now()
  let isOver = false
  const end = (isGood: boolean) => {
    if (isOver) return
    isOver = true
    counted.asked++
    if (!isGood) counted.failed++
    counted.longestMs = Math.max(counted.longestMs, performance.now() - startedAt)
    setTimeout(ask, STEP_MS, url, counted)
  }
  const request = get(`${url}/livez`, { timeout: TIMEOUT_MS, agent: false }, response => {
    response.resume().on('end', () => end(response.statusCode === 200))
  })
  request.on('timeout', () => request.destroy()).on('error', () => end(false))
}
