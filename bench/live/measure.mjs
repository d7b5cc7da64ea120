// What both scenarios share: prepared edits, readers that count what reaches them, processor time, the final check.
import { readdirSync, readFileSync } from 'node:fs'
import { canonical, open, until, Y } from '../../tests/js/client.mjs'
import { expected } from './plan.mjs'
import { Wire } from './wire.mjs'

/** Edits made by prepare.mjs. */
export class Prepared {
  constructor(file) {
    const { edits, shapes, writers } = JSON.parse(readFileSync(`${file}.json`, 'utf8'))
    const index = readFileSync(`${file}.idx`)
    Object.assign(this, { edits, shapes, writers, frames: readFileSync(`${file}.bin`) })
    this.offsets = new Float64Array(index.buffer.slice(index.byteOffset, index.byteOffset + index.length))
    this.numberOf = new Map(writers.map(({ client }, writer) => [client, writer]))
  }

  setup(writer) { return Buffer.from(this.writers[writer].setup, 'hex') }

  /** The frames of a writer's edits `from` up to, without, `to`. */
  slice(writer, from, to) {
    const first = writer * this.edits
    return this.frames.subarray(this.offsets[first + from], this.offsets[first + to])
  }
}

/** A connection that knows, for every writer but itself (`own`), up to which clock its edits have arrived. */
export class Reader extends Wire {
  constructor(room, prepared, onEdits, own = null) {
    super(room, (ranges, now) => this.take(ranges, now))
    this.prepared = prepared
    this.onEdits = onEdits
    this.own = own
    this.clock = new Int32Array(prepared.writers.length)
  }

  take(ranges, now) {
    for (const [client, from, to] of ranges) {
      const writer = this.prepared.numberOf.get(client)
      // A server may send edits back to their sender, all, some or none: no delivery, and no gap either.
      if (writer === undefined || writer === this.own) continue
      const had = this.clock[writer]
      // yjs would keep such an update pending and show nothing of it: a server must never get here.
      if (from > had) throw new Error(`clock ${from} of client ${client} came before ${had}`)
      if (to <= had) continue
      this.clock[writer] = to
      const { clock } = this.prepared.writers[writer]
      if (to > clock) this.onEdits(writer, Math.max(had - clock, 0), to - clock, now)
    }
  }

  /** Whether a writer's shapes and its first `edits` edits are here. */
  has(writer, edits) {
    return writer === this.own || this.clock[writer] >= this.prepared.writers[writer].clock + edits
  }
}

const CLOCK_TICKS = 100 // USER_HZ, the unit of /proc/<pid>/stat on Linux

const stat = (pid) => {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The command's name may hold spaces and brackets, so fields are counted from behind it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number)
  return { parent: fields[1], ticks: fields[11] + fields[12] + fields[13] + fields[14] }
}

const processes = () => {
  const found = new Map()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      found.set(Number(pid), stat(pid))
    } catch { /* it has ended since */ }
  }
  return found
}

/** User and system seconds of a process and all below it, those that have ended and been waited for included. */
export const cpuSeconds = (root) => {
  const all = processes()
  const below = (pid) => {
    for (let up = pid; up !== undefined && up > 0; up = all.get(up)?.parent) if (up === root) return true
    return false
  }
  return [...all].filter(([pid]) => below(pid)).reduce((sum, [, { ticks }]) => sum + ticks, 0) / CLOCK_TICKS
}

/** Starts measuring; the returned function ends it. */
export const startWindow = (pid) => {
  const [start, server, generator] = [performance.now(), cpuSeconds(pid), process.cpuUsage()]
  return () => {
    const seconds = (performance.now() - start) / 1000
    const own = process.cpuUsage(generator)
    const serverCpu = cpuSeconds(pid) - server
    const generatorCpuShare = (own.user + own.system) / 1e6 / seconds
    return { seconds, serverCpu, serverCpuShare: serverCpu / seconds, generatorCpuShare }
  }
}

export const frameCount = (connections) => connections.reduce((sum, { frames }) => sum + frames, 0)

/** Wait until every reader has everything, or fail saying how much is missing. */
export const allHave = async (readers, complete, seconds) => {
  if (await until(() => readers.every((reader) => reader.closed || complete(reader)), seconds * 1000, 1)) {
    const broken = readers.find((reader) => reader.closed)
    if (broken) throw broken.closed
    return
  }
  const waiting = readers.filter((reader) => !complete(reader)).length
  throw new Error(`${waiting} of ${readers.length} readers were still waiting after ${seconds} s`)
}

/** A fresh, ordinary client must find exactly what was written, clock by clock and value by value. */
export const converged = async (room, prepared, counts) => {
  const client = await open({ ...room, name: 'verifier' }, 60000)
  const clocksAgree = prepared.writers.every(({ client: id, clock }, writer) =>
    Y.getState(client.doc.store, id) === clock + counts[writer])
  const found = client.doc.getMap('objects').toJSON()
  return clocksAgree && canonical(found) === canonical(expected(counts, prepared.shapes))
}
