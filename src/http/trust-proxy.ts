import { isIP } from 'node:net'

/** The proxies whose `X-Forwarded-*` headers are believed, in the form of Fastify's `trustProxy`. */
export type Trust = boolean | string | ((address: string, hop: number) => boolean)

const RANGES = ['loopback', 'linklocal', 'uniquelocal']

/** Reads TRUST_PROXY: `true`, `false`, a number of hops, or addresses and ranges; `null` for anything else. */
export function trustOf(text: string): Trust | null {
  if (text === 'true' || text === 'false') return text === 'true'
  if (/^\d{1,2}$/.test(text)) return (_, hop) => hop < Number(text)
  return text.split(',').every(item => isRange(item.trim())) ? text : null
}

function isRange(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return RANGES.includes(text)
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}
