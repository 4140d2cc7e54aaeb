import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { startGateway } from '../helpers/gateway.js'
import { openBrowser, openPage } from './helpers.js'

const browser = await openBrowser(t)

t.test('the first-sight page: type, send, see it appear', async t => {
  const gateway = await startGateway(t)
  const { page, context } = await openPage(browser)
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
  await page.goto(gateway.url)
  const rows = page.locator('#feed li.event')
  await page.locator('#state', { hasText: 'connected' }).waitFor()

  await page.fill('#data', '{"jobId": 12345678901234567890}')
  await page.click('#send')
  await rows.first().waitFor()
  t.match(await rows.first().textContent(), /^job\.completeuser:42\w+-1\d+ ms\{"jobId": 12345678901234567890\}$/)
  t.match(await page.locator('#result').textContent(), /^202: published as \S+-1$/)

  // An event in a room: its type is new to the page, its data is text.
  await page.fill('#rooms', 'hub')
  await page.click('#connect')
  await page.locator('#feed li', { hasText: 'following user:42, *, hub' }).waitFor()
  await page.selectOption('#target', 'room')
  await page.fill('#name', 'hub')
  await page.fill('#type', 'chat.said')
  await page.fill('#data', "it's <b>two</b>\nlines")
  await page.click('#send')
  await rows.nth(1).waitFor()
  t.equal(await rows.first().locator('.data').textContent(), "it's <b>two</b>\nlines")

  await page.selectOption('#target', 'everyone')
  await page.click('#copy')
  const command = await page.evaluate(() => navigator.clipboard.readText())
  t.equal(command, await page.locator('#curl').textContent())
  await promisify(execFile)('sh', ['-c', command])
  await rows.nth(2).waitFor()
  t.match(await rows.first().textContent(), /^chat\.said\*/, 'the command that is shown does the same')

  await page.fill('#type', 'stream.mine')
  await page.click('#send')
  await page.locator('#result.bad').waitFor()
  t.match(await page.locator('#result').textContent(), /^400: type 'stream\.mine' .* must not start with 'stream\.'/)
  t.match(complaints, [/400/], 'nothing else went wrong, and no policy was broken')

  // Another tab, whose address says what to show.
  const other = await context.newPage()
  await other.goto(`${gateway.url}/?user=7&rooms=a`)
  await other.locator('#feed li', { hasText: 'following user:7, *, a' }).waitFor()
})

t.test('the page shows a break, the way back, and what was lost', async t => {
  const gateway = await startGateway(t)
  const { page } = await openPage(browser)
  await page.goto(gateway.url)
  const state = (text: string) => page.locator('#state', { hasText: text }).waitFor()
  await state('connected')
  await page.click('#send')
  await page.locator('#feed li.event').waitFor()
  await gateway.kill()
  await state('reconnecting')
  await gateway.restart()
  await state('connected')
  // The memory adapter's history ends with its process.
  await page.locator('#feed li.bad', { hasText: 'something may be missing' }).waitFor()
  await page.fill('#user', 'not a user')
  await page.click('#connect')
  await state('refused')
  await page.locator('#feed li.bad', { hasText: "user id 'not a user'" }).waitFor()
  t.pass()
})
