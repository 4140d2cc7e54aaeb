import { BusUnavailable, BusUncertain } from '../failures.js'
import { RedisUnavailable, RedisUncertain } from '../redis/failure.js'

/**
 * Translates a failure of Redis into the bus's errors, as the handler of a `catch`.
 * @throws BusUnavailable, BusUncertain  any other error as it is
 */
export function throwAsBusError(error: unknown): never {
  if (error instanceof RedisUnavailable) throw withCause(new BusUnavailable(error.message), error)
  if (error instanceof RedisUncertain) throw withCause(new BusUncertain(error.message), error)
  throw error
}

function withCause(told: Error, { cause }: Error): Error {
  told.cause = cause
  return told
}
