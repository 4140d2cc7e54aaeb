import { type Command, list, required, seconds } from './command.js'
import { post, REMOTE_FLAGS } from './remote.js'

/** `tidings ticket` */
export const ticket: Command = {
  summary: 'ask a gateway for a ticket that opens one user’s stream; needs an API key',
  flags: {
    user: { type: 'string', value: 'ID', about: 'the user' },
    follow: { type: 'string', value: 'A,B*', about: 'room patterns to follow beside the own room and *' },
    ttl: { type: 'string', value: 'TIME', about: 'how long its session lasts: 90s, 15m, 1h; default 12h' },
    ...REMOTE_FLAGS,
  },
  examples: [`tidings ticket --user 42 --follow 'session:*' --key "$KEY"`],
  async run(values) {
    const ttl = seconds(values, 'ttl')
    const asked = {
      userId: required(values, 'user'),
      follow: list(values, 'follow'),
      ...(ttl === undefined ? {} : { ttl }),
    }
    process.stdout.write(`${await post(values, '/v1/tickets', JSON.stringify(asked), 'application/json')}\n`)
    return 0
  },
}
