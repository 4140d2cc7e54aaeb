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

// Probes. Liveness never depends on the bus: restarting a replica mends no Redis, and would cut its streams.
async function health(app: FastifyInstance): Promise<void> {
  app.get(
    '/livez',
    {
      schema: {
        tags: ['probes'],
        summary: 'The process answers',
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
        summary: 'New streams can be served',
        description: '`degraded` answers 200: streams stay useful while the bus is away.',
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
