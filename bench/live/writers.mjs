// One writer, many readers: how many edits a second reach all of them, at most `inFlight` unconfirmed by the first.
// {base, room, token, pid, file, seconds, readers, inFlight}
import { readConfig, run } from '../../tests/js/client.mjs'
import { allHave, converged, frameCount, Prepared, Reader, startWindow } from './measure.mjs'
import { Wire } from './wire.mjs'

const config = readConfig({ seconds: 5, readers: 50, inFlight: 500, patience: 120 })
const { base, room, token } = config
const WRITER = 0

/** The writer: sends as many edits as its credit allows, until its time is over. */
class Source extends Wire {
  constructor(prepared) {
    super({ base, room, token }, () => {})
    this.prepared = prepared
    this.sent = 0
    this.end = -Infinity
  }

  start(now) {
    this.end = now + config.seconds * 1000
    this.confirm(0, now)
  }

  confirm(confirmed, now) {
    const to = Math.min(confirmed + config.inFlight, this.prepared.edits)
    if (now >= this.end || to <= this.sent) return
    this.send(this.prepared.slice(WRITER, this.sent, to))
    this.sent = to
  }

  get finished() { return performance.now() >= this.end || this.sent === this.prepared.edits }
}

/** Readers that count every edit they get; the first one's progress is the writer's credit. */
const audience = (prepared, source, counter) => Array.from({ length: config.readers }, (_, i) =>
  new Reader({ base, room, token }, prepared, (_writer, from, to, now) => {
    counter.deliveries += to - from
    if (i === 0) source.confirm(to, now)
  }))

run(async () => {
  const prepared = new Prepared(config.file)
  const source = new Source(prepared)
  const counter = { deliveries: 0 }
  const readers = audience(prepared, source, counter)
  await Promise.all([source, ...readers].map((wire) => wire.join()))
  source.send(prepared.setup(WRITER))
  await allHave(readers, (reader) => reader.has(WRITER, 0), config.patience)

  const framesBefore = frameCount(readers)
  const close = startWindow(config.pid)
  source.start(performance.now())
  // The window ends when the last reader has the last edit: what is still on its way is no delivery.
  await allHave(readers, (reader) => source.finished && reader.has(WRITER, source.sent), config.patience)
  const window = close()

  const edits = source.sent
  const { deliveries } = counter
  if (deliveries !== edits * readers.length) throw new Error(`${deliveries} deliveries of ${edits * readers.length}`)
  return {
    ...window,
    edits,
    deliveries,
    editsPerSecond: edits / window.seconds,
    deliveriesPerSecond: deliveries / window.seconds,
    framesPerSecond: (frameCount(readers) - framesBefore) / window.seconds,
    converged: await converged({ base, room, token }, prepared, [edits]),
  }
})
