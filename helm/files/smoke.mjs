// `helm test` runs this: is the gateway ready, does it refuse strangers, and does one event go from a publish to an open stream?
const url = process.env.TIDINGS_URL
const adminUrl = process.env.TIDINGS_ADMIN_URL ?? url
const apiKey = firstApiKey(process.env.API_KEYS ?? '')
const deadline = AbortSignal.timeout(30_000)
const user = `smoke-${process.pid}-${Date.now()}`

await untilReady()

const stranger = await fetch(`${url}/v1/stream`, { signal: deadline, headers: { accept: 'text/event-stream' } })
check(stranger.status === 401, `a stream without a credential answers ${stranger.status}, expected 401`)
await stranger.body?.cancel()

if (apiKey === undefined) {
  console.log('ready, and closed to strangers; no API key, so no event was sent')
} else {
  const ticket = await post('/v1/tickets', { userId: user })
  const stream = await fetch(`${url}/v1/stream?ticket=${encodeURIComponent(ticket.ticket)}`, {
    signal: deadline,
    headers: { accept: 'text/event-stream' },
  })
  check(stream.status === 200, `the stream answers ${stream.status}`)
  const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader()
  await readUntil(reader, 'event: stream.open')
  await post(`/v1/users/${user}/events`, { type: 'smoke', data: { from: user } })
  await readUntil(reader, `data: {"from":"${user}"}`)
  await reader.cancel()
  console.log('ready, closed to strangers, and one event made the whole way')
}

/** The admin Service also reaches replicas that start or drain, so ask until one is ready. */
async function untilReady() {
  let last = 'no answer'
  while (!deadline.aborted) {
    const answer = await fetch(`${adminUrl}/readyz`, { signal: deadline }).catch(error => error)
    if (answer.status === 200) return
    last = answer instanceof Error ? String(answer.cause ?? answer) : `${answer.status} ${await answer.text()}`
    await new Promise(resolve => setTimeout(resolve, 500))
  }
  check(false, `/readyz was not 200 within 30 s: ${last}`)
}

async function post(path, body) {
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    signal: deadline,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  check(answer.ok, `POST ${path.replace(user, '<user>')} answers ${answer.status}: ${text.slice(0, 300)}`)
  return JSON.parse(text)
}

async function readUntil(reader, expected) {
  let seen = ''
  while (!seen.includes(expected)) {
    const { value, done } = await reader.read()
    check(!done, `the stream ended before '${expected}'`)
    seen += value
  }
}

/** The first key of `name=key|pattern,name=key`. */
function firstApiKey(text) {
  const entry = text.split(',')[0].trim()
  const at = entry.indexOf('=')
  return at < 0 ? undefined : entry.slice(at + 1).split('|')[0]
}

function check(holds, otherwise) {
  if (holds) return
  console.error(`not ok: ${otherwise}`)
  process.exit(1)
}
