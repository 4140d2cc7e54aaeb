// The image's HEALTHCHECK: exits 0 when /livez answers 200. TLS is on PORT only, never on ADMIN_PORT.
import http from 'node:http'
import https from 'node:https'

const { ADMIN_PORT, PORT = '3000', TLS_CERT } = process.env
const isTls = TLS_CERT && !ADMIN_PORT
const options = {
  host: '127.0.0.1',
  port: ADMIN_PORT || PORT,
  path: '/livez',
  timeout: 2_500,
  // The certificate names the public host, and this request goes to 127.0.0.1.
  rejectUnauthorized: false,
}
const request = (isTls ? https : http).get(options, response => process.exit(response.statusCode === 200 ? 0 : 1))
request.on('timeout', () => request.destroy(new Error('no answer within 2.5 s')))
request.on('error', error => {
  console.error(error.message)
  process.exit(1)
})
