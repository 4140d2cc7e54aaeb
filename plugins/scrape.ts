import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { collectDefaultMetrics } from 'prom-client'

// Each sample wakes the process: at prom-client's own 10 ms an idle gateway did little else.
const LOOP_SAMPLE_MS = 50

// The route that Prometheus reads. It adds the metrics of the whole process (memory, event loop, descriptors), which the
// metrics plugin leaves out: an application that embeds the gateway has its own.
async function scrape(app: FastifyInstance): Promise<void> {
  const registry = app.tidingsMetrics
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_SAMPLE_MS })
  // Anybody who reaches the port may ask. Requests that come while an answer is being made share it: a flood costs one answer.
  let underWay: Promise<string> | null = null
  const render = (): Promise<string> => {
    underWay ??= registry.metrics().finally(() => {
      underWay = null
    })
    return underWay
  }
  app.get(
    '/metrics',
    {
      schema: {
        tags: ['probes'],
        summary: 'Metrics for Prometheus',
        response: { 200: Type.String({ description: 'the Prometheus text format' }) },
      },
    },
    async (_, reply) =>
      reply
        .type(registry.contentType)
        .header('cache-control', 'no-store')
        .send(await render()),
  )
}

export default fp(scrape, {
  name: 'tidings-scrape',
  fastify: '5.x',
  encapsulate: true,
  dependencies: ['tidings-metrics'],
})
