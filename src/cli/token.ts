import { type Command, list, required, seconds, text, UsageError } from './command.js'

const DEFAULT_TTL_S = 3_600

/** `tidings token` */
export const token: Command = {
  summary: 'make a JWT for trying out, signed with the gateway’s JWT_SECRET',
  flags: {
    sub: { type: 'string', value: 'USER', about: 'the user' },
    follow: { type: 'string', value: 'A,B*', about: 'room patterns to follow beside the own room and *' },
    publish: { type: 'string', value: 'A,B*', about: 'room patterns to publish to' },
    ttl: { type: 'string', value: 'TIME', about: 'how long it is good: 90s, 15m, 1h (the default), 7d' },
    issuer: { type: 'string', value: 'ISS', about: 'default $JWT_ISSUER' },
    audience: { type: 'string', value: 'AUD', about: 'default $JWT_AUDIENCE' },
    secret: { type: 'string', value: 'SECRET', about: 'default $JWT_SECRET, which no process list shows' },
  },
  examples: [`JWT_SECRET=... tidings token --sub 42 --follow 'session:*' --ttl 1h`],
  async run(values) {
    const sub = required(values, 'sub')
    const secret = text(values, 'secret') ?? process.env.JWT_SECRET
    if (!secret) throw new UsageError('--secret is missing, and JWT_SECRET is not set')
    const issuer = text(values, 'issuer') ?? process.env.JWT_ISSUER
    const audience = text(values, 'audience') ?? process.env.JWT_AUDIENCE
    const type = process.env.JWT_TYPE
    const { mintToken } = await import('../auth/mint.js')
    const made = await mintToken({
      secret,
      sub,
      follow: list(values, 'follow'),
      publish: list(values, 'publish'),
      ttlSeconds: seconds(values, 'ttl') ?? DEFAULT_TTL_S,
      ...(issuer ? { issuer } : {}),
      ...(audience ? { audience } : {}),
      ...(type ? { type } : {}),
    })
    process.stdout.write(`${made}\n`)
    return 0
  },
}
