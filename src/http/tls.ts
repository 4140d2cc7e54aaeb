import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { InvalidConfig } from '../failures.js'
import { shownSetting } from '../redact.js'

/** A certificate chain and its key, PEM. */
export interface Certificate {
  readonly cert: Buffer
  readonly key: Buffer
}

const WATCH_INTERVAL_MS = 5_000

/**
 * The certificate in the files that `TLS_CERT` and `TLS_KEY` name; `null` when they are not set.
 * @throws InvalidConfig  a file that cannot be read, or a pair that does not belong together; never quotes the key
 */
export function readCertificate(certPath: string | undefined, keyPath: string | undefined): Certificate | null {
  if (certPath === undefined || keyPath === undefined) return null
  const certificate = { cert: readPem('TLS_CERT', certPath), key: readPem('TLS_KEY', keyPath) }
  try {
    createSecureContext(certificate)
  } catch (error) {
    throw new InvalidConfig(
      `TLS_CERT ${quoted(certPath)} and TLS_KEY ${quoted(keyPath)} cannot be used: ${messageOf(error)}`,
    )
  }
  return certificate
}

/**
 * Calls `onChange` with the certificate each time one of its files changes or the process gets SIGHUP. Calls `onError` if the new one cannot
 * be used; the caller keeps the old one. The files are polled by their paths every 5 s, because a mounted secret is a symbolic link that is
 * swapped. Returns a function that ends the watch.
 */
export function watchCertificate(
  certPath: string | undefined,
  keyPath: string | undefined,
  onChange: (certificate: Certificate) => void,
  onError: (error: unknown) => void,
): () => void {
  if (certPath === undefined || keyPath === undefined) return () => {}
  const reload = () => {
    try {
      const certificate = readCertificate(certPath, keyPath)
      if (certificate !== null) onChange(certificate)
    } catch (error) {
      onError(error)
    }
  }
  for (const file of [certPath, keyPath]) watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, reload)
  process.on('SIGHUP', reload)
  return () => {
    for (const file of [certPath, keyPath]) unwatchFile(file, reload)
    process.off('SIGHUP', reload)
  }
}

function readPem(variable: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    // The system's message quotes the path, and that may be a key in the place of its path.
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    throw new InvalidConfig(`${variable} ${quoted(path)} is no file that can be read (${why})`)
  }
}

// Hides a key that was given in the place of its path.
function quoted(path: string): string {
  const shown = shownSetting('path', path)
  return shown === null ? '(not shown: it does not look like a path)' : `'${shown}'`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
