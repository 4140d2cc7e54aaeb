import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { findCommand } from '../helpers/owned-process.js'
import type { Owner } from '../helpers/scope.js'

// The names of Chromium on Debian, Fedora, macOS (as a link) and in Google's packages.
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']

// Chromium has no sandbox as root in a container. The other flags keep the browser from connecting to anybody else.
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
]

const START_MS = 30_000
const STEP_MS = 15_000

/**
 * Starts a headless Chromium that is gone with its owner.
 * @throws Error  when there is none on PATH: it says how to get one
 */
export async function openBrowser(owner: Owner): Promise<Browser> {
  const executablePath = NAMES.map(findCommand).find(path => path !== undefined)
  if (executablePath === undefined) {
    throw new Error(
      `A Chromium is needed and there is none on PATH (looked for ${NAMES.join(', ')}).\n` +
        '  Debian: sudo apt-get update && sudo apt-get install chromium\n' +
        '  Fedora: sudo dnf install chromium',
    )
  }
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS, timeout: START_MS })
  owner.teardown(() => browser.close())
  return browser
}

/** Opens a page with cookies and storage of its own. `context.newPage()` opens another one that shares them. */
export async function openPage(browser: Browser): Promise<{ page: Page; context: BrowserContext }> {
  const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] })
  context.setDefaultTimeout(STEP_MS)
  return { page: await context.newPage(), context }
}
