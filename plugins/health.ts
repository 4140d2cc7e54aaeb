import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

const ReadySchema = Type.Object({
  status: Type.Union([
    Type.Literal('ok'),
    Type.Literal('degraded'),
    Type.Literal('starting'),
    Type.Literal('draining'),
  ]),
  reason: Type.Union([Type.String(), Type.Null()]),
  busLagMs: Type.Union([Type.Number(), Type.Null()]),
})

// Probes. Liveness never depends on the bus: restarting a replica would cut its streams, and mend no Redis.
async function health(app: FastifyInstance): Promise<void> {
  app.get(
    '/livez',
    {
      schema: {
        tags: ['probes'],
        summary: 'Liveness: the process answers',
        response: { 200: Type.Object({ status: Type.Literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  )
  app.get(
    '/readyz',
    {
      schema: {
        tags: ['probes'],
        summary: 'Readiness: this replica can serve new streams',
        description:
          '`degraded` answers 200: streams stay useful, but publishing or catching up may fail until the bus is back.',
        response: { 200: ReadySchema, 503: ReadySchema },
      },
    },
    async (_, reply) => {
      const { status, reason, lagMs } = app.tidings.busHealth
      const answer = app.tidings.isReady ? { status, reason } : { status: 'draining' as const, reason: 'shutting down' }
      return reply
        .code(answer.status === 'starting' || answer.status === 'draining' ? 503 : 200)
        .header('cache-control', 'no-store')
        .send({ ...answer, busLagMs: lagMs })
    },
  )
}

export default fp(health, {
  name: 'tidings-health',
  fastify: '5.x',
  encapsulate: true,
  dependencies: ['tidings-gateway'],
})
