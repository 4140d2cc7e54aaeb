import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { BodyTooLarge, InvalidRequest, shown, UnsupportedMediaType } from '../src/errors.js'

const RETRY_AFTER_S = 1

// Sets the error handler of the instance that registers it and of those below. An embedding application keeps its own elsewhere.
async function errors(app: FastifyInstance): Promise<void> {
  app.setErrorHandler<FastifyError>(answerError)
}

/**
 * Answers every error as `{ statusCode, code, error, message }` with a TIDINGS_ code. Fastify's own errors are translated; an
 * unknown error becomes a 500 that says nothing internal.
 */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = translate(error, request.headers['content-type'], request.routeOptions.bodyLimit)
  const statusCode = known.statusCode ?? 500
  if (statusCode === 503) reply.header('retry-after', RETRY_AFTER_S)
  if (known.code === 'TIDINGS_UNAUTHORIZED') reply.header('www-authenticate', 'Bearer realm="tidings"')
  // Fastify would close the connection while the publisher still sends, and the reset could overtake the answer. Instead the
  // rest of the body is read and dropped, until the time limit of a request.
  if (known.code === 'TIDINGS_BODIES_TOO_LARGE') reply.removeHeader('connection')
  const { log } = request.server
  const reqId = request.id
  // An unreachable bus or a flood of bodies is no bug: log one line without a stack.
  if (known.code?.startsWith('TIDINGS_BUS_') || known.code === 'TIDINGS_BODIES_TOO_LARGE')
    log.warn({ reqId, code: known.code }, known.message)
  else if (statusCode >= 500) log.error({ reqId, err: known }, 'request failed')
  else log.debug({ reqId, code: known.code, statusCode }, 'request refused')
  const { code, message } = known.code?.startsWith('TIDINGS_')
    ? known
    : { code: 'TIDINGS_INTERNAL', message: 'something went wrong on the server' }
  // Send a plain object: Fastify would pass an error on to the error handler of the surrounding application.
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
      // Schema violations and malformed requests: Fastify's messages about them hold nothing internal.
      return (error.statusCode ?? 500) < 500 ? withStatus(new InvalidRequest(error.message), error.statusCode) : error
  }
}

function withStatus(error: FastifyError, statusCode: number | undefined): FastifyError {
  if (statusCode !== undefined) error.statusCode = statusCode
  return error
}

export default fp(errors, { name: 'tidings-errors', fastify: '5.x' })
