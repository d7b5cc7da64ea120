// What every script here shares: the configuration, unmodified y-websocket clients, waiting, the one line of results.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { WebsocketProvider } from 'y-websocket'

export { WebSocket, Y, sleep }

// The libraries log to stdout as they please; that belongs to the result alone.
console.log = console.info = console.warn = console.error

/** The configuration: the first argument, or stdin without one. */
export const readConfig = (defaults = {}) => {
  const text = process.argv[2] ?? readFileSync(0, 'utf8')
  return { ...defaults, ...JSON.parse(text || '{}') }
}

/** Print the result as the only line on stdout, then leave: providers' timers would keep the process alive. */
export const finish = (result, code = 0) =>
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(code))

/** Run a script's main; any failure goes to stderr and becomes a non-zero exit. */
export const run = (main) => {
  const fail = (error) => {
    process.stderr.write(`${error?.stack ?? error}\n`)
    process.exit(1)
  }
  process.on('uncaughtException', fail)
  main().then(finish, fail)
}

/** Poll until `test` holds; false when `ms` have passed first. */
export const until = async (test, ms = 15000, every = 10) => {
  const end = performance.now() + ms
  while (!test()) {
    if (performance.now() > end) return false
    await sleep(every)
  }
  return true
}

/** One client: a document, its provider and what happened to its connection. */
export class Client {
  constructor({ base, room, token, name = '' }) {
    this.name = name
    this.connects = 0
    this.returns = 0
    this.closes = []
    this.doc = new Y.Doc()
    // `disableBc`: clients of one process must meet on the server, not on a BroadcastChannel between themselves.
    this.provider = new WebsocketProvider(base, room, this.doc, {
      params: token ? { token } : {},
      WebSocketPolyfill: WebSocket,
      disableBc: true,
    })
    this.provider.on('status', ({ status }) => { if (status === 'connected') this.connects += 1 })
    this.provider.on('connection-close', (event) => this.closes.push(event?.code ?? null))
  }

  get synced() { return this.provider.wsconnected && this.provider.synced }

  /** Connections beyond the first that nobody asked for. */
  get reconnects() { return Math.max(0, this.connects - 1 - this.returns) }

  async ready(ms = 15000) {
    // A provider that was told to stay away (a close code 44xx) will not sync later either.
    await until(() => this.synced || !this.provider.shouldConnect, ms)
    if (this.synced) return this
    throw new Error(`${this.name || 'client'} did not sync (waited up to ${ms} ms, closes: ${this.closes})`)
  }

  leave() { this.provider.disconnect() }

  comeBack() {
    this.returns += 1
    this.provider.connect()
  }

  /** Lose the connection without a farewell, as a client does whose machine goes to sleep. */
  vanish() {
    this.provider.shouldConnect = false
    this.provider.ws.terminate()
  }

  destroy() {
    this.provider.destroy()
    this.doc.destroy()
  }
}

/** Open a client and wait for its first sync. */
export const open = (options, ms) => new Client(options).ready(ms)

const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
}

/** The same text for the same content, in whatever order a map's keys came in. */
export const canonical = (value) => JSON.stringify(sorted(value))

/** The q-quantile of ascending numbers, null without any. */
export const quantile = (ascending, q) => ascending.length === 0
  ? null
  : Math.round(ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * q))] * 1000) / 1000

/** {p50, p95, p99, max, count} of latencies in ms. */
export const summary = (values) => {
  const ascending = Float64Array.from(values).sort()
  return {
    p50: quantile(ascending, 0.5),
    p95: quantile(ascending, 0.95),
    p99: quantile(ascending, 0.99),
    max: quantile(ascending, 1),
    count: ascending.length,
  }
}

/** A seeded source of numbers in [0, 1) (mulberry32). */
export const seeded = (seed) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6D2B79F5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
