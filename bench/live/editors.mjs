// Many editors in one document: how long an edit takes into the others' sight, and what that costs the server.
// {base, room, token, pid, file, seconds, editors, rate}
import { readConfig, run, seeded, sleep, summary } from '../../tests/js/client.mjs'
import { allHave, converged, frameCount, Prepared, Reader, startWindow } from './measure.mjs'

const config = readConfig({ seconds: 5, editors: 100, rate: 10, warmUp: 1, seed: 1, patience: 120 })
const { base, room, token, editors } = config
const edits = Math.round((config.warmUp + config.seconds) * config.rate)
const warmUpEdits = Math.round(config.warmUp * config.rate)

/** When each edit is due, in ms from the start: every editor keeps its rate, with its own phase and a hand's jitter. */
const schedule = () => {
  const random = seeded(config.seed)
  const interval = 1000 / config.rate
  const due = []
  for (let editor = 0; editor < editors; editor += 1) {
    const phase = random() * interval
    for (let k = 0; k < edits; k += 1) due.push({ editor, k, at: phase + (k + 0.5 * random()) * interval })
  }
  return due.sort((a, b) => a.at - b.at)
}

/** When each edit left and how long it took to each of the others. */
class Sightings {
  constructor() {
    this.sentAt = Array.from({ length: editors }, () => new Float64Array(edits))
    this.latencies = new Float64Array(editors * (editors - 1) * (edits - warmUpEdits))
    this.measured = 0
    this.deliveries = 0
  }

  note(writer, from, to, now) {
    this.deliveries += to - from
    for (let k = Math.max(from, warmUpEdits); k < to; k += 1) {
      this.latencies[this.measured++] = now - this.sentAt[writer][k]
    }
  }
}

/** Send every edit when it is due; `warm` is called once the warm-up is over. */
const play = async (clients, prepared, sentAt, warm) => {
  const due = schedule()
  const start = performance.now()
  let warmed = false
  for (let next = 0; next < due.length; await sleep(1)) {
    const elapsed = performance.now() - start
    if (!warmed && elapsed >= config.warmUp * 1000) {
      warmed = true
      warm()
    }
    for (; next < due.length && due[next].at <= elapsed; next += 1) {
      const { editor, k } = due[next]
      sentAt[editor][k] = performance.now()
      clients[editor].send(prepared.slice(editor, k, k + 1))
    }
  }
}

run(async () => {
  const prepared = new Prepared(config.file)
  const sightings = new Sightings()
  const note = sightings.note.bind(sightings)
  const clients = sightings.sentAt.map((_, me) => new Reader({ base, room, token }, prepared, note, me))
  const everybodyHas = (count) =>
    allHave(clients, (reader) => clients.every((_, writer) => reader.has(writer, count)), config.patience)
  await Promise.all(clients.map((client) => client.join()))
  clients.forEach((client, me) => client.send(prepared.setup(me)))
  await everybodyHas(0)

  let close = null
  let framesBefore = 0
  await play(clients, prepared, sightings.sentAt, () => {
    framesBefore = frameCount(clients)
    close = startWindow(config.pid)
  })
  await everybodyHas(edits)
  const window = close()

  const { deliveries, latencies, measured } = sightings
  if (deliveries !== editors * (editors - 1) * edits) throw new Error(`${deliveries} deliveries`)
  return {
    ...window,
    latency: summary(latencies.subarray(0, measured)),
    edits: editors * edits,
    deliveries,
    framesPerSecond: (frameCount(clients) - framesBefore) / window.seconds,
    converged: await converged({ base, room, token }, prepared, Array(editors).fill(edits)),
  }
})
