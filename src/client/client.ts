import type { StreamClose, StreamExpiring, StreamGap, StreamOpen } from '../stream/control.js'

export type { CloseReason, GapReason, StreamClose, StreamGap, StreamOpen } from '../stream/control.js'

// Runs in browsers as it is: a native EventSource, and the work of a page around it (docs/protocol.md). No imports but types.

/** Why a stream ended. `refused`: the gateway said no, or nobody answered, too often in a row. `stopped`: `close()`. */
export interface StreamEnd {
  readonly reason: StreamClose['reason'] | 'refused' | 'stopped'
  /** True when the stream comes back by itself. */
  readonly reconnect: boolean
}

/**
 * What a stream is doing.
 *
 *   connecting  a credential or an EventSource is on its way, or the browser reconnects by itself
 *   open        `stream.open` came
 *   waiting     there is no stream; a timer opens the next one
 *   closed      for good
 */
export type StreamStatus = 'connecting' | 'open' | 'waiting' | 'closed'

/** What can happen to a stream: a new one is begun, it opens, the browser reconnects it, it must wait, it ends for good. */
type Happening = 'begin' | 'open' | 'lose' | 'wait' | 'end'

// What happens decides, whatever a stream was doing before, until it is closed.
const ALIVE = { begin: 'connecting', open: 'open', lose: 'connecting', wait: 'waiting', end: 'closed' } as const

// Every happening in every status. The compiler refuses a table with a hole.
const NEXT: Readonly<Record<StreamStatus, Readonly<Record<Happening, StreamStatus>>>> = {
  connecting: ALIVE,
  open: ALIVE,
  waiting: ALIVE,
  closed: { begin: 'closed', open: 'closed', lose: 'closed', wait: 'closed', end: 'closed' },
}

/** Where to connect, as which user, and what to do with events. */
export interface ConnectOptions {
  /** The gateway's stream: `https://events.example/v1/stream`, or a path of the page's own origin. */
  readonly url: string
  /** Event types to listen for; EventSource drops all others. */
  readonly types: readonly string[]
  readonly rooms?: readonly string[]
  /** The user, where the gateway is open. */
  readonly user?: string
  /** Gets a ticket from your backend; called for every stream that needs a new one. */
  readonly ticket?: () => string | Promise<string>
  /** Gets a JWT; called like `ticket`. Without `ticket` and `token`, the cookie says who; across origins that needs `withCredentials`. */
  readonly token?: () => string | Promise<string>
  readonly withCredentials?: boolean
  readonly envelope?: boolean
  /**
   * Keeps the position in sessionStorage under this name, so that a reloaded page gets the events that it missed meanwhile. A page that
   * uses it must also keep what it shows. Limit: EventSource does not show heartbeats, so they move no position.
   */
  readonly remember?: string
  readonly onEvent: (event: MessageEvent<string>) => void
  readonly onOpen?: (open: StreamOpen) => void
  readonly onGap?: (gap: StreamGap) => void
  readonly onClose?: (end: StreamEnd) => void
  readonly onStatus?: (status: StreamStatus) => void
  /** Refusals in a row after which it gives up. Default 10: 75-114 s of waiting between them. */
  readonly maxRefusals?: number
}

/** A stream that was asked for. */
export interface Stream {
  readonly status: StreamStatus
  /** The position of the last event, `''` before the first. */
  readonly lastEventId: string
  /** Ends it for good. Idempotent. */
  close(): void
}

const FIRST_DELAY_MS = 500
const MAX_DELAY_MS = 30_000
const DEFAULT_MAX_REFUSALS = 10

/**
 * Opens a stream and keeps it. After a broken link the browser reconnects and resumes by itself. After an end that is final for the browser
 * (an error status, an ended credential), this opens a new stream from the last position, with a new ticket or token.
 */
export function connect(options: ConnectOptions): Stream {
  const { remember, maxRefusals = DEFAULT_MAX_REFUSALS } = options
  const credential = options.ticket ?? options.token
  let status: StreamStatus = 'connecting'
  let lastEventId = remember === undefined ? '' : (sessionStorage.getItem(remember) ?? '')
  let source: EventSource | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let refusals = 0
  let turn = 0

  const happens = (happening: Happening) => {
    const next = NEXT[status][happening]
    if (status === next) return
    status = next
    options.onStatus?.(next)
  }

  const end = (reason: StreamEnd['reason']) => {
    if (status === 'closed') return
    turn++
    clearTimeout(timer)
    source?.close()
    source = null
    happens('end')
    options.onClose?.({ reason, reconnect: false })
  }

  const open = async () => {
    const mine = ++turn
    clearTimeout(timer)
    source?.close()
    source = null
    happens('begin')
    let given: string | undefined
    try {
      given = await credential?.()
    } catch {
      // A backend that gives no credential counts as a refusal of the gateway.
      if (mine === turn) refused()
      return
    }
    // The stream was closed, or begun anew, while the credential was on its way.
    if (mine !== turn) return
    const init = { withCredentials: options.withCredentials === true }
    listen(new EventSource(streamUrl(options, lastEventId, given), init))
  }

  const refused = () => {
    if (status === 'closed') return
    refusals++
    happens('wait')
    if (refusals >= maxRefusals) end('refused')
    else later(Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** refusals))
  }

  // Jitter: without it, all pages would come back in one moment (thundering herd).
  const later = (ms: number) => {
    clearTimeout(timer)
    timer = setTimeout(() => void open(), ms * (0.5 + Math.random() / 4))
  }

  const listen = (opened: EventSource) => {
    source = opened
    const on = (type: string, act: (event: MessageEvent<string>) => void) =>
      opened.addEventListener(type, event => {
        // This stream was given up while the event was on its way; the next stream brings it again.
        if (source !== opened) return
        act(event)
        moved(event.lastEventId)
      })
    for (const type of new Set(options.types)) on(type, options.onEvent)
    on('stream.open', event => {
      refusals = 0
      happens('open')
      options.onOpen?.(JSON.parse(event.data))
    })
    on('stream.gap', event => options.onGap?.(JSON.parse(event.data)))
    on('stream.expiring', ({ data }) => {
      // Renewing at once would be a loop if credentials live shorter than the warning is early. So 50-75 % of the time left passes first.
      const { inMs }: StreamExpiring = JSON.parse(data)
      if (credential !== undefined) later(inMs)
    })
    on('stream.close', event => closed(JSON.parse(event.data)))
    opened.onerror = () => {
      if (source !== opened) return
      // The browser reconnects by itself, unless the error is final for it. Then a new stream needs a new credential anyway.
      if (opened.readyState === EventSource.CLOSED) refused()
      else happens('lose')
    }
  }

  const closed = ({ reason, reconnect }: StreamEnd) => {
    const renews = reason === 'expired' && credential !== undefined
    if (reconnect || renews) options.onClose?.({ reason, reconnect: true })
    if (reconnect) happens('lose')
    else if (renews) renew()
    else end(reason)
  }

  // Renewing at once would be a loop if the provider hands out ended credentials.
  const renew = () => {
    source?.close()
    happens('wait')
    later(FIRST_DELAY_MS)
  }

  const moved = (id: string) => {
    if (id === '') return
    lastEventId = id
    if (remember !== undefined) sessionStorage.setItem(remember, id)
  }

  void open()
  return {
    get status() {
      return status
    },
    get lastEventId() {
      return lastEventId
    },
    close: () => end('stopped'),
  }
}

function streamUrl(options: ConnectOptions, lastEventId: string, credential: string | undefined): string {
  const url = new URL(options.url, location.href)
  const set = (name: string, value: string | undefined) => value && url.searchParams.set(name, value)
  set('rooms', options.rooms?.join(','))
  set('user', options.user)
  set('envelope', options.envelope === true ? 'true' : undefined)
  set(options.ticket === undefined ? 'token' : 'ticket', credential)
  // This counts for the first request only: a browser that reconnects sends Last-Event-ID, and the header goes first.
  set('last_event_id', lastEventId)
  return url.href
}
