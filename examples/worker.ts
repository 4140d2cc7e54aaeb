// A worker without a gateway: it publishes straight through Redis, and gets the ids and errors that the gateway gives.
//   REDIS_URL=redis://127.0.0.1:6379 node dist/examples/worker.js ada report-7
import { createEmitter } from 'tidings/emitter'

const { REDIS_URL, REDIS_PREFIX } = process.env
const [userId, jobId] = process.argv.slice(2)
if (REDIS_URL === undefined || userId === undefined || jobId === undefined) {
  console.error('usage: REDIS_URL=redis://... node dist/examples/worker.js <user> <job>')
  process.exit(2)
}

const emitter = createEmitter({
  redisUrl: REDIS_URL,
  ...(REDIS_PREFIX ? { prefix: REDIS_PREFIX } : {}),
  // A failover of Redis takes seconds. The emitter repeats a publish for this long, and never publishes it twice.
  retryForMs: 15_000,
  onTrouble: error => console.error(`Redis: ${error.message}`),
})

try {
  for (const percent of [50, 100]) {
    await emitter.emit(userId, { type: 'job.progress', data: { jobId, percent }, ephemeral: true })
  }
  // With a key, a worker that crashed and runs again within 5 minutes does not publish the event twice.
  const { id } = await emitter.emit(userId, { type: 'job.complete', data: { jobId }, key: `complete-${jobId}` })
  console.log(id)
} finally {
  await emitter.close()
}
