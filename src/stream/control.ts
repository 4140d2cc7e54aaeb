import type { GapReason } from '../event.js'
import { CLOSE_REASONS, type CloseReason } from './close-reason.js'

export type { GapReason } from '../event.js'
export type { CloseReason } from './close-reason.js'

// Pure, and without Node: the client and `tidings tail` take their types from here. What clients must do with them: docs/protocol.md.

/** `stream.open`, the first event of every stream. */
export interface StreamOpen {
  readonly connectionId: string
  readonly userId: string
  readonly rooms: readonly string[]
  /** `true`: everything missed follows. `false`: something may be missing, fetch again. `null`: a first visit. */
  readonly resumed: boolean | null
  /** A stream that is silent for this long gets a heartbeat, in ms. */
  readonly heartbeatMs: number
}

/** `stream.gap`: events of these rooms were lost while connected. */
export interface StreamGap {
  readonly rooms: readonly string[]
  readonly reason: GapReason
}

/** `stream.expiring`: the credential ends soon. */
export interface StreamExpiring {
  /** In ms since 1970. */
  readonly expiresAt: number
  readonly inMs: number
}

/** `stream.close`, the last event of a stream that the server ends. */
export interface StreamClose {
  readonly reason: CloseReason
  /** True when the reader should come back with the same URL. */
  readonly reconnect: boolean
  /** When it should come back, in ms. */
  readonly retryMs: number
  /** More about the reason, for people. */
  readonly message?: string
}

/** Every control event: its type, and what its data says. A new one is a line here and one in docs/protocol.md. */
export interface ControlEvents {
  'stream.open': StreamOpen
  'stream.gap': StreamGap
  'stream.expiring': StreamExpiring
  'stream.close': StreamClose
}

/** What `stream.close` says of a reason. */
export function closeOf(reason: CloseReason, retryMs: number, message?: string): StreamClose {
  const reconnect = CLOSE_REASONS[reason].shouldReconnect
  return { reason, reconnect, retryMs: Math.round(retryMs), ...(message === undefined ? {} : { message }) }
}

/**
 * The text of a control event. `id`, a cursor's text, moves the reader's position; `null` leaves it. `stream.close` also sets the
 * delay after which EventSource comes back.
 */
export function formatControl<Type extends keyof ControlEvents>(
  type: Type,
  data: ControlEvents[Type],
  id: string | null,
): string {
  const retry = 'retryMs' in data ? `retry: ${data.retryMs}\n` : ''
  const position = id === null ? '' : `id: ${id}\n`
  return `${retry}${position}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}
