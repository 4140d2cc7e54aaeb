// @ts-check

/** Steps of 10 us up to 1 ms; beyond that each step is 2 % wider than the one before. Recording allocates nothing. */
const FINE_STEP_MICROS = 10
const FINE_STEPS = 100
const GROWTH = Math.log(1.02)
const STEPS = 900

/** Times in microseconds, as counts. */
export class Histogram {
  count = 0
  max = 0
  #steps = new Uint32Array(STEPS)

  /** @param {number} micros */
  record(micros) {
    this.count++
    if (micros > this.max) this.max = micros
    const step = stepOf(micros)
    this.#steps[step] = (this.#steps[step] ?? 0) + 1
  }

  /**
   * The percentile in milliseconds: the upper bound of its step, so it never flatters.
   * @param {number} share 0-1
   */
  percentileMs(share) {
    if (this.count === 0) return Number.NaN
    let left = Math.ceil(this.count * share)
    for (let step = 0; step < STEPS; step++) {
      left -= this.#steps[step] ?? 0
      if (left <= 0) return Math.min(upperMicros(step), this.max) / 1000
    }
    return this.max / 1000
  }

  summary() {
    return {
      count: this.count,
      p50: this.percentileMs(0.5),
      p99: this.percentileMs(0.99),
      p999: this.percentileMs(0.999),
      max: this.max / 1000,
    }
  }
}

/** @param {number} micros */
function stepOf(micros) {
  const fine = Math.max(0, Math.floor(micros / FINE_STEP_MICROS))
  if (fine < FINE_STEPS) return fine
  return Math.min(STEPS - 1, FINE_STEPS + Math.floor(Math.log(micros / (FINE_STEP_MICROS * FINE_STEPS)) / GROWTH))
}

/** @param {number} step */
function upperMicros(step) {
  if (step < FINE_STEPS) return (step + 1) * FINE_STEP_MICROS
  return FINE_STEP_MICROS * FINE_STEPS * Math.exp((step - FINE_STEPS + 1) * GROWTH)
}
