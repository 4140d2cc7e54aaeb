// The HorizontalPodAutoscaler's arithmetic, the chart's scaling rules, and readers that come back.
//   desired = ceil(ready x average / target), ignored within 10 %; up at once, in 30 s by doubling or by 4 at most;
//   down to the highest desired number of the last 600 s, by one pod in 180 s.

export const DAY_S = 86_400
const STEP_S = 5
const HPA_EVERY_S = 15
const UP_EVERY_S = 30
const DOWN_WINDOW_S = 600
const DOWN_EVERY_S = 180
const TOLERANCE = 0.1
const MIN_PODS = 3
const MAX_PODS = 30
const POD_START_S = 40
const MIN_READY_S = 10
const DRAIN_DELAY_S = 10
const DRAIN_WINDOW_S = 20
const MAX_AGE_S = 3_600
const RETRY_S = 3

/** A day in steps of 5 s, with one sample a minute. `demand(t)` is the number of readers that want a stream. */
export function simulate({ balancer, target, maxConnections, demand, deployAtS, nodeLossAtS }) {
  const autoscaler = new Autoscaler(target)
  const samples = []
  let pods = Array.from({ length: autoscaler.wanted }, () => new Pod(-POD_START_S, demand(0) / autoscaler.wanted))
  let update = null
  // Readers without a stream: new readers, readers that were told to come back, and readers that were cut.
  let coming = 0
  let turnedAway = 0

  for (let t = 0; t <= DAY_S; t += STEP_S) {
    const ready = pods.filter(pod => pod.isReady(t))
    const open = sum(pods)
    const change = demand(t) - open - coming
    if (change > 0) coming += change
    else for (const pod of pods) pod.streams += (change * pod.streams) / Math.max(1, open)

    for (const pod of ready) coming += pod.give((pod.streams * STEP_S) / MAX_AGE_S)
    for (const pod of pods) coming += pod.drain(t)
    if (t === nodeLossAtS) {
      const lost = ready.slice(0, Math.ceil(ready.length / 3))
      coming += sum(lost)
      pods = pods.filter(pod => !lost.includes(pod))
    }
    pods = pods.filter(pod => pod.goesAt > t || pod.streams >= 1)

    if (t === deployAtS) update = { old: ready.filter(pod => pod.goesAt > t), next: null }
    update = rollOn(update, pods, t)
    const kept = pods.filter(pod => pod.goesAt > t && pod !== update?.next)
    for (let i = kept.length; i < autoscaler.wanted; i++) pods.push(new Pod(t))
    // The youngest go first, as a ReplicaSet does.
    for (const pod of kept.slice(autoscaler.wanted)) pod.goesAt = t

    const serving = pods.filter(pod => pod.isReady(t))
    const arriving = Math.min(coming, (coming * STEP_S) / RETRY_S)
    coming -= arriving
    if (balancer === 'even') for (const pod of serving) pod.streams += arriving / serving.length
    else fillLowest(serving, arriving)
    for (const pod of serving) {
      const refused = pod.give(Math.max(0, pod.streams - maxConnections))
      coming += refused
      turnedAway += Math.round(refused)
    }

    if (t % HPA_EVERY_S === 0) autoscaler.look(t, serving.length, sum(serving))
    if (t % 60 === 0) {
      const loads = serving.map(pod => pod.streams)
      samples.push({ t, ready: serving.length, fullest: Math.max(...loads), emptiest: Math.min(...loads) })
    }
  }
  return { samples, turnedAway }
}

class Pod {
  goesAt = Number.POSITIVE_INFINITY

  constructor(startedAt, streams = 0) {
    this.readyAt = startedAt + POD_START_S
    this.streams = streams
  }

  isReady(t) {
    return this.readyAt <= t && t < this.goesAt
  }

  /** Loses some of its streams; answers how many. */
  give(count) {
    const given = Math.min(this.streams, count)
    this.streams -= given
    return given
  }

  /** Ends the pod's streams after the delay, spread over the window. */
  drain(t) {
    const left = this.goesAt + DRAIN_DELAY_S + DRAIN_WINDOW_S - t
    if (t < this.goesAt + DRAIN_DELAY_S) return 0
    return this.give(this.streams * Math.min(1, STEP_S / Math.max(STEP_S, left)))
  }
}

class Autoscaler {
  wanted = MIN_PODS
  #target
  #desires = []
  #upAt = Number.NEGATIVE_INFINITY
  #downAt = Number.NEGATIVE_INFINITY

  constructor(target) {
    this.#target = target
  }

  look(t, ready, streams) {
    if (ready === 0) return
    const ratio = streams / ready / this.#target
    const desire = Math.abs(ratio - 1) <= TOLERANCE ? this.wanted : Math.ceil(ready * ratio)
    this.#desires = [...this.#desires.filter(({ at }) => at > t - DOWN_WINDOW_S), { at: t, desire }]
    const stable = Math.max(...this.#desires.map(each => each.desire))
    if (desire > this.wanted && t - this.#upAt >= UP_EVERY_S) {
      this.wanted = Math.min(MAX_PODS, desire, Math.max(this.wanted * 2, this.wanted + 4))
      this.#upAt = t
    } else if (stable < this.wanted && t - this.#downAt >= DOWN_EVERY_S) {
      this.wanted = Math.max(MIN_PODS, this.wanted - 1)
      this.#downAt = t
    }
  }
}

/** A rolling update: one pod more, wait until it is ready, then one old pod goes. */
function rollOn(update, pods, t) {
  if (update === null) return null
  const { old, next } = update
  if (next === null) {
    if (old.length === 0) return null
    const surge = new Pod(t)
    pods.push(surge)
    return { old, next: surge }
  }
  if (t < next.readyAt + MIN_READY_S) return update
  const [leaving, ...rest] = old
  leaving.goesAt = Math.min(leaving.goesAt, t)
  return { old: rest.filter(pod => pod.goesAt > t), next: null }
}

/** Gives streams to the emptiest pods until they are level. */
function fillLowest(pods, count) {
  const byLoad = pods.toSorted((a, b) => a.streams - b.streams)
  let left = count
  for (let i = 0; i < byLoad.length && left > 0; i++) {
    const next = byLoad[i + 1]?.streams ?? Number.POSITIVE_INFINITY
    const share = Math.min(left / (i + 1), next - byLoad[i].streams)
    for (const pod of byLoad.slice(0, i + 1)) pod.streams += share
    left -= share * (i + 1)
  }
}

function sum(pods) {
  return pods.reduce((total, pod) => total + pod.streams, 0)
}
