const WIDTH = 960
const PANEL = 300
const LEFT = 64
const RIGHT = 56
const TOP = 48
const BOTTOM = 44
const MOST_PODS = 20

/** The runs as SVG, one panel each: the fullest and the emptiest replica, and the number of replicas. */
export function draw(runs, { deployAtS, nodeLossAtS, maxConnections, dayS }) {
  const x = t => LEFT + (t / dayS) * (WIDTH - LEFT - RIGHT)
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${PANEL * runs.length}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Two simulated days of the autoscaler">`,
    `<rect width="${WIDTH}" height="${PANEL * runs.length}" fill="#ffffff"/>`,
  ]
  for (const [i, { title, target, samples }] of runs.entries()) {
    const floor = PANEL * (i + 1) - BOTTOM
    const y = streams => floor - (streams / maxConnections) * (PANEL - TOP - BOTTOM)
    const yPods = pods => y((pods / MOST_PODS) * maxConnections)
    const rule = (at, style) => `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(at)}" y2="${y(at)}" ${style}/>`
    parts.push(text(LEFT, PANEL * i + 20, title, 'font-size="15" font-weight="600" fill="#1f2937"'))
    parts.push(
      text(LEFT, PANEL * i + 38, 'streams of the fullest replica; band: down to the emptiest', 'fill="#2563eb"'),
    )
    parts.push(text(WIDTH - RIGHT, PANEL * i + 38, 'replicas ready', 'text-anchor="end" fill="#b45309"'))
    for (let streams = 0; streams <= maxConnections; streams += maxConnections / 5) {
      parts.push(rule(streams, 'stroke="#e5e7eb"'))
      parts.push(text(LEFT - 8, y(streams) + 4, streams.toLocaleString('en-US'), 'text-anchor="end" fill="#2563eb"'))
      parts.push(text(WIDTH - RIGHT + 8, y(streams) + 4, (streams / maxConnections) * MOST_PODS, 'fill="#b45309"'))
    }
    for (let t = 0; t <= dayS; t += dayS / 8) {
      parts.push(text(x(t), floor + 18, `${t / 3_600}:00`, 'text-anchor="middle" fill="#4b5563"'))
    }
    for (const [t, words] of [
      [deployAtS, 'deploy'],
      [nodeLossAtS, 'a third of the replicas lost'],
    ]) {
      parts.push(
        `<line x1="${x(t)}" x2="${x(t)}" y1="${y(maxConnections)}" y2="${floor}" stroke="#9ca3af" stroke-dasharray="2 3"/>`,
      )
      parts.push(text(x(t) + 4, floor - 6, words, 'fill="#4b5563"'))
    }
    parts.push(rule(target, 'stroke="#16a34a" stroke-dasharray="6 4"'))
    parts.push(text(LEFT + 6, y(target) - 5, 'target', 'fill="#15803d"'))
    const fullest = samples.map(sample => [x(sample.t), y(sample.fullest)])
    const emptiest = samples.map(sample => [x(sample.t), y(sample.emptiest)])
    const ready = samples.flatMap((sample, n) =>
      [samples[Math.max(0, n - 1)], sample].map(each => [x(sample.t), yPods(each.ready)]),
    )
    parts.push(
      `<polygon fill="#2563eb" fill-opacity="0.18" points="${points([...fullest, ...emptiest.toReversed()])}"/>`,
    )
    parts.push(`<polyline fill="none" stroke="#2563eb" stroke-width="1.5" points="${points(fullest)}"/>`)
    parts.push(`<polyline fill="none" stroke="#d97706" stroke-width="1.5" points="${points(ready)}"/>`)
  }
  return `${parts.join('\n')}\n</svg>\n`
}

function text(x, y, words, style) {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${style}>${words}</text>`
}

function points(pairs) {
  return pairs.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
}
