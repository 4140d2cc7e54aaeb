// @ts-check
import { format } from './table.mjs'

const WIDTH = 760
const HEIGHT = 420
const LEFT = 70
const RIGHT = 170
const TOP = 44
const BOTTOM = 56
const COLOURS = ['#0b6e4f', '#53b08f', '#c1440e', '#22577a', '#7fa8c9', '#8a6d1d', '#9b5094', '#777777']

/**
 * A line chart with logarithmic axes, as SVG text.
 * @param {{
 *   title: string, x: string, y: string, lines: Array<{ name: string, points: Array<[x: number, y: number]> }>
 * }} chart
 */
export function lineChart({ title, x, y, lines }) {
  const drawn = lines.filter(line => line.points.length > 0)
  const across = axis(drawn.flatMap(line => line.points.map(([value]) => value)))
  const up = axis(drawn.flatMap(line => line.points.map(([, value]) => value)))
  /** @param {number} value */
  const atX = value => LEFT + across.share(value) * (WIDTH - LEFT - RIGHT)
  /** @param {number} value */
  const atY = value => HEIGHT - BOTTOM - up.share(value) * (HEIGHT - TOP - BOTTOM)
  const bottom = HEIGHT - BOTTOM
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(LEFT, 24, title, 'font-size="15" font-weight="bold"'),
    ...up.ticks.flatMap(tick => [
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${px(atY(tick))}" y2="${px(atY(tick))}" stroke="#e3e3e3"/>`,
      text(LEFT - 8, atY(tick) + 4, short(tick), 'text-anchor="end"'),
    ]),
    ...across.ticks.map(tick => text(atX(tick), bottom + 18, short(tick), 'text-anchor="middle"')),
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${bottom}" y2="${bottom}" stroke="#333333"/>`,
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x, 'text-anchor="middle"'),
    text(16, (TOP + bottom) / 2, y, `text-anchor="middle" transform="rotate(-90 16 ${px((TOP + bottom) / 2)})"`),
    ...drawn.flatMap(({ name, points }, index) => {
      const colour = COLOURS[index % COLOURS.length]
      const path = points.map(([px0, py0]) => `${px(atX(px0))},${px(atY(py0))}`)
      const labelY = TOP + 14 + index * 20
      return [
        `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${path.join(' ')}"/>`,
        ...path.map(
          point => `<circle cx="${point.split(',')[0]}" cy="${point.split(',')[1]}" r="3" fill="${colour}"/>`,
        ),
        `<rect x="${WIDTH - RIGHT + 14}" y="${labelY - 9}" width="12" height="10" fill="${colour}"/>`,
        text(WIDTH - RIGHT + 32, labelY, name),
      ]
    }),
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

/** Logarithmic, with a tick at 1, 2 and 5 of every decade. @param {number[]} values */
function axis(values) {
  const low = Math.log10(Math.min(...values))
  const high = Math.log10(Math.max(...values))
  const margin = Math.max(0.05, (high - low) * 0.06)
  const [from, to] = [low - margin, high + margin]
  /** @type {number[]} */
  const ticks = []
  for (let decade = Math.floor(from); decade <= Math.ceil(to); decade++) {
    for (const step of [1, 2, 5]) {
      const tick = step * 10 ** decade
      if (Math.log10(tick) >= from && Math.log10(tick) <= to) ticks.push(tick)
    }
  }
  return { ticks, share: (/** @type {number} */ value) => (Math.log10(value) - from) / (to - from) }
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} content
 * @param {string} [attributes]
 */
function text(x, y, content, attributes = '') {
  return `<text x="${px(x)}" y="${px(y)}" ${attributes}>${content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`
}

/** @param {number} value */
const px = value => value.toFixed(1)

/** @param {number} value */
function short(value) {
  if (value >= 1e6) return `${format(value / 1e6)}M`
  return value >= 1000 ? `${format(value / 1000)}k` : String(Number(value.toPrecision(2)))
}
