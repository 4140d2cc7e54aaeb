/** What a reader and its replica do after a reason. */
interface AfterClose {
  /** The reader should come back with the same URL. */
  readonly shouldReconnect: boolean
  /** The reader should come back to another replica. */
  readonly goesElsewhere: boolean
  /** The reader comes back after `minMs`, and up to `spreadMs` later. */
  readonly retry: { readonly minMs: number; readonly spreadMs: number }
}

// Spread, so that a closed replica's readers do not all come back in one moment (a thundering herd).
const SPREAD = { minMs: 500, spreadMs: 4_500 }
// Ages are spread already, and a stream that ends for its age has a place to go to.
const SOON = { minMs: 0, spreadMs: 500 }

/** Every reason for which the server ends a stream, as `stream.close` says it. A new reason is a line here and one in docs/protocol.md. */
export const CLOSE_REASONS = {
  /** The reader took less than it was sent, past QUEUE_LIMIT_BYTES. */
  slow: { shouldReconnect: true, goesElsewhere: false, retry: SPREAD },
  /** This replica shuts down. */
  shutdown: { shouldReconnect: true, goesElsewhere: true, retry: SPREAD },
  /** The credential ended. */
  expired: { shouldReconnect: false, goesElsewhere: false, retry: SPREAD },
  /** The user, the ticket or this stream was ended on purpose. */
  revoked: { shouldReconnect: false, goesElsewhere: false, retry: SPREAD },
  /** Another stream uses the ticket. */
  replaced: { shouldReconnect: false, goesElsewhere: false, retry: SPREAD },
  /** The stream reached CONNECTION_MAX_AGE_MS. */
  'max-age': { shouldReconnect: true, goesElsewhere: true, retry: SOON },
  /** A limit on streams is reached, or something that the stream needs cannot be reached now. */
  overloaded: { shouldReconnect: true, goesElsewhere: true, retry: SPREAD },
} as const satisfies Record<string, AfterClose>

/** Why the server ended a stream. */
export type CloseReason = keyof typeof CLOSE_REASONS

/** Every way a stream can end: the server's reasons, and a reader that left by itself (`gone`). */
export type EndReason = CloseReason | 'gone'

/** All of them. */
// Safe: the keys are those of the table above.
export const END_REASONS: readonly EndReason[] = ['gone', ...(Object.keys(CLOSE_REASONS) as CloseReason[])]

/** True when a reader that lost its stream like this should come back to another replica. */
export function goesElsewhere(reason: EndReason): boolean {
  return reason !== 'gone' && CLOSE_REASONS[reason].goesElsewhere
}

/** When a reader should come back, in ms; drawn anew for each. */
export function retryDelayMs(reason: CloseReason): number {
  const { minMs, spreadMs } = CLOSE_REASONS[reason].retry
  return minMs + Math.random() * spreadMs
}
