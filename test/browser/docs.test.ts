import t from 'tap'
import { startGateway } from '../helpers/gateway.js'
import { openBrowser, openPage } from './helpers.js'

const browser = await openBrowser(t)

t.test(
  'the page at /docs shows every call and tries one, under its policy and without a word to anybody else',
  async t => {
    const gateway = await startGateway(t)
    const { page } = await openPage(browser)
    const complaints: string[] = []
    const elsewhere: string[] = []
    page.on('pageerror', error => complaints.push(String(error)))
    page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
    page.on('request', request => {
      const url = request.url()
      if (!url.startsWith(gateway.url) && !url.startsWith('data:')) elsewhere.push(url)
    })
    await page.goto(`${gateway.url}/docs`)
    await page.locator('.opblock-summary-path', { hasText: '/v1/broadcast' }).waitFor()
    t.ok((await page.locator('.opblock').count()) > 8)
    const probe = page.locator('.opblock', { hasText: '/livez' })
    await probe.locator('.opblock-summary').click()
    await probe.getByRole('button', { name: 'Try it out' }).click()
    await probe.getByRole('button', { name: 'Execute' }).click()
    await probe.locator('.live-responses-table .response-col_status', { hasText: '200' }).first().waitFor()
    t.same(complaints, [])
    t.same(elsewhere, [])
  },
)
