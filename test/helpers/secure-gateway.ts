import { createAuthority, makeFolder, writePair } from './certificate.js'
import { startGateway } from './gateway.js'
import type { Owner } from './scope.js'

/** The authority that issues the certificates of secure gateways. */
export const authority = createAuthority()

/** Starts a gateway that speaks HTTPS; its probes are on a port without TLS. */
export async function startSecure(t: Owner, env: Record<string, string> = {}) {
  const folder = await makeFolder(t)
  const files = await writePair(folder, authority.issue('first'))
  const tls = { TLS_CERT: files.cert, TLS_KEY: files.key, ADMIN_PORT: '0', DRAIN_WINDOW_MS: '0' }
  const nodeArgs = ['--unhandled-rejections=strict']
  const gateway = await startGateway(t, { ...tls, ...env }, { nodeArgs })
  return { gateway, folder, files }
}
