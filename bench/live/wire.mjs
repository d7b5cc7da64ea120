// A WebSocket client for load: plain sockets, frames made beforehand, received frames read in place. Real providers
// decode every update and would measure themselves.
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { Y } from '../../tests/js/client.mjs'

const BINARY = 2
const CLOSE = 8
const PING = 9
const PONG = 10
const FINAL = 0x80
const MASKED = 0x80

const header = (opcode, size) => {
  if (size < 126) return Buffer.from([FINAL | opcode, MASKED | size])
  if (size < 65536) return Buffer.from([FINAL | opcode, MASKED | 126, size >> 8, size & 255])
  const long = Buffer.from([FINAL | opcode, MASKED | 127, 0, 0, 0, 0, 0, 0, 0, 0])
  long.writeBigUInt64BE(BigInt(size), 2)
  return long
}

/** A client's frame around `payload`: masked, as RFC 6455 (5.1) demands of clients. */
export const frame = (payload, opcode = BINARY) => {
  const key = randomBytes(4)
  const masked = payload.map((byte, i) => byte ^ key[i & 3])
  return Buffer.concat([header(opcode, payload.length), key, masked])
}

// y-protocols: message 0 (sync), then 0 (step 1, a state vector), 1 (step 2) or 2 (update), each a length and bytes.
const SYNC = 0
const STEP1 = 0
const STEP2 = 1
const ASK_FOR_ALL = frame(Buffer.from([SYNC, STEP1, 1, 0]))
const HAVE_NOTHING = frame(Buffer.from([SYNC, STEP2, 2, 0, 0]))

/** The frame that carries one update. */
export const updateFrame = (update) => frame(Buffer.concat([syncHeader(2, update.length), update]))

const syncHeader = (type, size) => {
  const bytes = [SYNC, type]
  for (; size > 127; size >>>= 7) bytes.push(128 | (size & 127))
  return Buffer.from([...bytes, size])
}

const RECENT = 1 << 12
const recent = new Array(RECENT)

const slot = (data, start, end) => {
  let hash = end - start
  for (let i = start; i < Math.min(start + 24, end); i += 1) hash = Math.imul(hash ^ data[i], 16777619)
  for (let i = Math.max(start, end - 16); i < end; i += 1) hash = Math.imul(hash ^ data[i], 16777619)
  return (hash ^ (hash >>> 15)) & (RECENT - 1)
}

/**
 * The clocks an update brings: [[client, from, to], …], as yjs itself reads them. A server sends the same bytes to all
 * its readers, so a frame equal byte for byte to one just decoded need not be decoded again.
 */
const clocks = (data, start, end) => {
  const at = slot(data, start, end)
  const known = recent[at]
  if (known?.bytes.length === end - start && known.bytes.compare(data, start, end) === 0) return known.ranges
  const bytes = Buffer.from(data.subarray(start, end))
  const { from, to } = Y.parseUpdateMeta(bytes)
  const ranges = [...from].map(([client, clock]) => [client, clock, to.get(client)])
  recent[at] = { bytes, ranges }
  return ranges
}

/** One connection. `onClocks(ranges, now)` is called for every update that arrives. */
export class Wire {
  constructor({ base, room, token }, onClocks) {
    this.url = new URL(`${base}/${room}${token ? `?token=${encodeURIComponent(token)}` : ''}`)
    this.onClocks = onClocks
    this.frames = 0
    this.rest = null
    this.upgraded = false
    this.closed = null
  }

  /** Connect, sync, and return when the server has answered sync step 1. */
  join() {
    return new Promise((resolve, reject) => {
      this.joined = resolve
      const fail = (error) => { this.closed ??= error; reject(error) }
      this.socket = net.connect({
        host: this.url.hostname,
        port: Number(this.url.port),
        noDelay: true,
        onread: {
          buffer: Buffer.allocUnsafe(1 << 18),
          callback: (size, buffer) => this.read(buffer.subarray(0, size), fail),
        },
      })
      this.socket.on('error', fail)
      this.socket.on('close', () => fail(new Error(`${this.url.pathname}: the connection was closed`)))
      this.socket.write(this.handshake())
    })
  }

  handshake() {
    return [
      `GET ${this.url.pathname}${this.url.search} HTTP/1.1`,
      `Host: ${this.url.host}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      'Sec-WebSocket-Version: 13',
      '',
      '',
    ].join('\r\n')
  }

  send(frames) {
    if (this.closed) throw this.closed
    this.socket.write(frames)
  }

  end() {
    this.socket.destroy()
  }

  read(chunk, fail) {
    try {
      const now = performance.now()
      const data = this.rest === null ? chunk : Buffer.concat([this.rest, chunk])
      const used = this.upgraded ? this.parse(data, 0, now) : this.parse(data, this.upgrade(data), now)
      // The chunk's buffer is filled anew by the next read: what is left of it is copied.
      this.rest = used === data.length ? null : Buffer.from(data.subarray(used))
    } catch (error) {
      fail(error)
      this.socket.destroy()
    }
    return true
  }

  upgrade(data) {
    const end = data.indexOf('\r\n\r\n')
    if (end < 0) return 0
    const head = data.toString('latin1', 0, end)
    if (!/^HTTP\/1.1 101/.test(head)) throw new Error(`refused: ${head.split('\r\n')[0]}`)
    this.upgraded = true
    this.socket.write(ASK_FOR_ALL)
    return end + 4
  }

  parse(data, start, now) {
    let at = start
    while (this.upgraded && data.length - at >= 2) {
      let size = data[at + 1] & 127
      let head = 2
      if (size === 126) {
        if (data.length - at < 4) break
        size = data.readUInt16BE(at + 2)
        head = 4
      } else if (size === 127) {
        if (data.length - at < 10) break
        size = Number(data.readBigUInt64BE(at + 2))
        head = 10
      }
      if (data.length - at < head + size) break
      this.receive(data[at], data, at + head, at + head + size, now)
      at += head + size
    }
    return at
  }

  receive(first, data, start, end, now) {
    if (first === (FINAL | BINARY)) this.message(data, start, end, now)
    else if (first === (FINAL | PING)) this.socket.write(frame(data.subarray(start, end), PONG))
    else if (first === (FINAL | CLOSE)) throw new Error(`closed with ${end > start ? data.readUInt16BE(start) : 1005}`)
    else if (first !== (FINAL | PONG)) throw new Error(`a frame this client does not read: ${first}`)
  }

  message(data, start, end, now) {
    this.frames += 1
    if (data[start] !== SYNC) return
    const type = data[start + 1]
    if (type === STEP1) {
      this.socket.write(HAVE_NOTHING)
      return
    }
    let at = start + 2
    while (data[at] > 127) at += 1
    const ranges = clocks(data, at + 1, end)
    if (ranges.length > 0) this.onClocks(ranges, now)
    if (type === STEP2) this.joined()
  }
}
