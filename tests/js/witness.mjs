// For rounds of `kill -9`: what a second client has seen must be in the document afterwards.
//
// A truthful round: kill the server; END THIS PROCESS (SIGTERM or SIGKILL) while the server is still down; start the
// server again; only then run this script with {"verify": true}. Otherwise the editor or the witness reconnects and
// sends again what the server lost, and the loss stays hidden. The file of sightings is whole at any moment: every key
// is in it, by a synchronous append, before this process does anything else about it.
import { openSync, writeSync } from 'node:fs'
import { Client, open, readConfig, run, sleep } from './client.mjs'

const config = readConfig({ seconds: 3600, rate: 500, prefix: `p${process.pid}`, verify: false })
const { base, room, token, tokens = [token, token] } = config

/** A client with an empty document: the keys the server has, at the moment of the first sync. */
const verify = async () => {
  const client = await open({ base, room, token: token ?? tokens[0], name: 'verifier' }, 60000)
  const keys = [...client.doc.getMap('objects').keys()]
  return { keys, count: keys.length }
}

const watch = (witness, file) => {
  const seen = new Set()
  const descriptor = openSync(file, 'a')
  witness.doc.getMap('objects').observe((event) => {
    for (const [key, change] of event.changes.keys) {
      if (change.action !== 'add') continue
      writeSync(descriptor, `${key}\n`)
      seen.add(key)
    }
  })
  return seen
}

/** Numbered objects at `rate` a second (0: as fast as turns of the loop allow), whenever the editor is connected. */
const write = async (editor, written, running) => {
  const objects = editor.doc.getMap('objects')
  let last = performance.now()
  for (let owed = 0; running(); await sleep(1)) {
    const now = performance.now()
    // Nothing is owed for time spent disconnected: such edits would only be edits of the next connection.
    if (editor.synced) owed += config.rate === 0 ? 50 : (now - last) * config.rate / 1000
    last = now
    for (; owed >= 1 && editor.synced; owed -= 1) {
      const key = `${config.prefix}-${written.length}`
      objects.set(key, written.length)
      written.push(key)
    }
  }
}

const witnessed = async () => {
  let stopped = false
  process.on('SIGTERM', () => { stopped = true })
  const witness = new Client({ base, room, token: tokens[1], name: 'witness' })
  const editor = new Client({ base, room, token: tokens[0], name: 'editor' })
  const seen = watch(witness, config.file)
  const written = []
  const end = performance.now() + config.seconds * 1000
  await write(editor, written, () => !stopped && performance.now() < end)
  const own = written.filter((key) => seen.has(key)).length
  const reconnects = editor.reconnects + witness.reconnects
  return { written: written.length, seen: seen.size, seenOfWritten: own, reconnects }
}

run(config.verify ? verify : witnessed)
