// One raw WebSocket: what a server answers, how it closes, what it does with given frames. "open" on stderr says that
// the socket stands; `openedAt` and `closedAt` are ms since 1970, to be held against a revocation's time.
import { readConfig, run, WebSocket } from './client.mjs'

const config = readConfig({ seconds: 5, frames: [], protocols: [], headers: {}, origin: undefined, keep: 0 })

const probe = () => new Promise((resolve) => {
  const start = performance.now()
  const result = {
    opened: false, status: null, protocol: null, bytes: 0, messages: 0,
    closeCode: null, closeReason: null, closedAfterMs: null, openedAt: null, closedAt: null, error: null, received: [],
  }
  const socket = new WebSocket(config.url, config.protocols, { origin: config.origin, headers: config.headers })
  const since = () => Math.round((performance.now() - start) * 10) / 10
  setTimeout(() => resolve(result), config.seconds * 1000)
  socket.on('open', () => {
    result.opened = true
    result.openedAt = Date.now()
    console.error('open')
    result.protocol = socket.protocol
    for (const frame of config.frames) socket.send(Buffer.from(frame, 'hex'))
  })
  socket.on('message', (data) => {
    result.bytes += data.length
    result.messages += 1
    if (result.received.length < config.keep) result.received.push(data.toString('hex'))
  })
  // Refused handshakes are answers too, so they are told and not thrown.
  socket.on('unexpected-response', (_request, response) => {
    resolve({ ...result, status: response.statusCode, closedAfterMs: since() })
  })
  socket.on('error', (error) => { result.error = error.message })
  socket.on('close', (code, reason) => {
    const closedAfterMs = since()
    resolve({ ...result, closeCode: code, closeReason: reason.toString(), closedAfterMs, closedAt: Date.now() })
  })
})

run(probe)
