/** The kind of a setting decides how much of it may be shown. A plain text has none. */
export type SettingKind = 'secret' | 'path' | 'url'

const MAX_SHOWN_LENGTH = 200
// A PEM, or a URL with a user or password: a secret in the wrong variable is secret all the same.
const HOLDS_SECRET = /-----BEGIN|[\r\n]|\\n|:\/\/[^/?#]*@/
const PATH = /^(?:\.{0,2}\/|~\/|[A-Za-z]:\\)|\.(?:pem|key|crt|cer|cert)$/

/**
 * A setting's value as messages may show it. `null` for a secret, or for a value that looks like a secret in the wrong variable. A URL is
 * shown without its query, which may hold keys.
 */
export function shownSetting(kind: SettingKind | undefined, value: unknown): string | null {
  if (kind === 'secret') return null
  const text = Array.isArray(value) ? value.join(',') : String(value)
  if (HOLDS_SECRET.test(text) || text.length > MAX_SHOWN_LENGTH) return null
  if (kind === 'path') return PATH.test(text) ? text : null
  if (kind === 'url') return URL.canParse(text) ? withoutQuery(new URL(text)) : null
  return text
}

function withoutQuery({ origin, pathname, search }: URL): string | null {
  return origin === 'null' ? null : `${origin}${pathname}${search === '' ? '' : '?...'}`
}
