import { fileURLToPath } from 'node:url'
import t from 'tap'
import { waitFor } from '../helpers/deadline.js'
import { OwnedProcess } from '../helpers/owned-process.js'
import { freePort } from '../helpers/ports.js'
import { openBrowser, openPage } from './helpers.js'

t.test("examples: the application's page shows a job's progress and end, in every tab of its user", async t => {
  const port = await freePort()
  const app = new OwnedProcess({
    command: process.execPath,
    args: [fileURLToPath(new URL('../../examples/embed.js', import.meta.url))],
    env: { PATH: process.env.PATH, PORT: `${port}` },
  })
  t.teardown(() => app.kill())
  app.start()
  await waitFor(() => app.lines.some(line => line.startsWith('listening')), 15_000, 'the application to listen')
  const { page, context } = await openPage(await openBrowser(t))
  const tabs = [page, await context.newPage()]
  for (const tab of tabs) {
    await tab.goto(`http://127.0.0.1:${port}/`)
    const opened = tab.waitForResponse(response => response.url().includes('/v1/stream'))
    await tab.click('#login button')
    await opened
  }
  await page.click('#start')
  for (const tab of tabs) {
    await tab.locator('#done li', { hasText: 'is complete' }).waitFor()
    await tab.locator('#done li', { hasText: 'ada finished' }).waitFor()
    t.equal(await tab.locator('#progress').evaluate(progress => (progress as HTMLProgressElement).value), 100)
  }
})
