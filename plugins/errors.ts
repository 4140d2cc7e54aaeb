import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { BodyTooLarge, InvalidRequest, shown, UnsupportedMediaType } from '../src/errors.js'

const RETRY_AFTER_S = 1

// For the instance that registers it, and below: an embedding application keeps its own error handler elsewhere.
async function errors(app: FastifyInstance): Promise<void> {
  app.setErrorHandler<FastifyError>(answerError)
}

/**
 * Answers every error as `{ statusCode, code, error, message }` with a TIDINGS_ code. What Fastify raises by itself is
 * translated; anything unknown is a 500 that says nothing internal.
 */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = translate(error, request.headers['content-type'], request.routeOptions.bodyLimit)
  const statusCode = known.statusCode ?? 500
  if (statusCode === 503) reply.header('retry-after', RETRY_AFTER_S)
  // Fastify would close the connection on a publisher that is still sending, whose reset may overtake the answer. The rest of
  // the body is read and dropped instead, for as long as a request may take.
  if (known.code === 'TIDINGS_BODIES_TOO_LARGE') reply.removeHeader('connection')
  const { log } = request.server
  const reqId = request.id
  // The bus being away, or a publisher's flood, is no fault of the program: a line says so, without a stack for each request.
  if (known.code?.startsWith('TIDINGS_BUS_') || known.code === 'TIDINGS_BODIES_TOO_LARGE')
    log.warn({ reqId, code: known.code }, known.message)
  else if (statusCode >= 500) log.error({ reqId, err: known }, 'request failed')
  else log.debug({ reqId, code: known.code, statusCode }, 'request refused')
  const { code, message } = known.code?.startsWith('TIDINGS_')
    ? known
    : { code: 'TIDINGS_INTERNAL', message: 'something went wrong on the server' }
  // An object, not the error: that would go on to the error handler of the application around.
  return reply.code(statusCode).send({ statusCode, code, error: STATUS_CODES[statusCode] ?? 'Error', message })
}

function translate(error: FastifyError, contentType: string | undefined, bodyLimit: number | undefined): FastifyError {
  if (error.code?.startsWith('TIDINGS_')) return error
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new BodyTooLarge(bodyLimit ?? 0)
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_CONTENT_TYPE':
      return new UnsupportedMediaType(
        shown(contentType ?? ''),
        'application/json, or application/x-ndjson on /v1/events',
      )
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return withStatus(new InvalidRequest('a name in the path is too long: rooms have 1-200 characters'), 414)
    default:
      // Schema violations and malformed requests: their messages are Fastify's and hold nothing internal.
      return (error.statusCode ?? 500) < 500 ? withStatus(new InvalidRequest(error.message), error.statusCode) : error
  }
}

function withStatus(error: FastifyError, statusCode: number | undefined): FastifyError {
  if (statusCode !== undefined) error.statusCode = statusCode
  return error
}

export default fp(errors, { name: 'tidings-errors', fastify: '5.x' })
