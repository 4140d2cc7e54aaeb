// @ts-check
import { createHmac } from 'node:crypto'

/**
 * Signs a JWT (HS256) for one user, valid for an hour.
 * @param {string} secret
 * @param {string} user
 */
export function signToken(secret, user) {
  const seconds = Math.floor(Date.now() / 1000)
  const claims = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, iat: seconds, exp: seconds + 3600 })}`
  return `${claims}.${createHmac('sha256', secret).update(claims).digest('base64url')}`
}

/** @param {object} value */
const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url')
