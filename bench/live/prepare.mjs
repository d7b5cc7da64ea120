// Makes the edits beforehand with yjs: {writers, shapes, edits, file} -> <file>.bin (masked frames, one after another),
// <file>.idx (their offsets) and <file>.json (the writers' client ids, their first updates and clocks).
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { readConfig, run, Y } from '../../tests/js/client.mjs'
import { edit, shapeId } from './plan.mjs'
import { updateFrame } from './wire.mjs'

const config = readConfig({ shapes: 100 })

const addShapes = (doc, writer) => doc.transact(() => {
  for (let i = 0; i < config.shapes; i += 1) {
    const shape = new Y.Map([['x', 0], ['y', 0]])
    doc.getMap('objects').set(shapeId(writer, i), shape)
  }
})

/** All of one writer's frames, each handed to `take` as it is made. */
const prepareWriter = (writer, take) => {
  const doc = new Y.Doc()
  doc.clientID = 1_000_000_000 + writer
  addShapes(doc, writer)
  const setup = updateFrame(Y.encodeStateAsUpdate(doc)).toString('hex')
  const clock = Y.getState(doc.store, doc.clientID)
  const objects = doc.getMap('objects')
  const shapes = Array.from({ length: config.shapes }, (_, i) => objects.get(shapeId(writer, i)))
  doc.on('update', (update) => take(updateFrame(update)))
  for (let k = 0; k < config.edits; k += 1) {
    const { shape, key, value } = edit(writer, k, config.shapes)
    shapes[shape].set(key, value)
  }
  if (Y.getState(doc.store, doc.clientID) !== clock + config.edits) throw new Error('an edit is not one clock')
  return { client: doc.clientID, setup, clock }
}

/** A sink that writes frames in large pieces and keeps their offsets. */
const frameFile = (path, count) => {
  const offsets = new Float64Array(count + 1)
  const descriptor = openSync(path, 'w')
  let pending = []
  let pendingSize = 0
  let made = 0
  const flush = () => {
    if (pendingSize > 0) writeSync(descriptor, Buffer.concat(pending))
    pending = []
    pendingSize = 0
  }
  const take = (bytes) => {
    made += 1
    offsets[made] = offsets[made - 1] + bytes.length
    pendingSize += bytes.length
    if (pending.push(bytes) === 10000) flush()
  }
  const close = () => {
    flush()
    closeSync(descriptor)
    return offsets
  }
  return { take, close }
}

run(async () => {
  const { file, edits, shapes } = config
  const sink = frameFile(`${file}.bin`, config.writers * edits)
  const writers = Array.from({ length: config.writers }, (_, writer) => prepareWriter(writer, sink.take))
  const offsets = sink.close()
  writeFileSync(`${file}.idx`, Buffer.from(offsets.buffer))
  writeFileSync(`${file}.json`, JSON.stringify({ edits, shapes, writers }))
  return { frames: offsets.length - 1, bytes: offsets[offsets.length - 1] }
})
