/** What a setting holds, as far as it decides what may be shown of it: a text when nothing is said. */
export type SettingKind = 'secret' | 'path' | 'url'

const MAX_SHOWN_LENGTH = 200
// A PEM, or a URL with a user or password: what is put into the wrong variable is secret all the same.
const HOLDS_SECRET = /-----BEGIN|[\r\n]|\\n|:\/\/[^/?#]*@/
const PATH = /^(?:\.{0,2}\/|~\/|[A-Za-z]:\\)|\.(?:pem|key|crt|cer|cert)$/

/**
 * A setting's value for messages and for people to look at; `null` when it must not be shown: it is a secret, or looks like one
 * that was put into the wrong variable. Of a URL without its query, where keys stand, too.
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
