// What the generators write: shapes on a board being dragged. Edit k of a writer sets one coordinate of one of its
// shapes, so every edit is one Yjs item (one clock) and the content after n edits is known without any Yjs.

/** The shape, the key and the value that edit `k` of a writer sets. */
export const edit = (writer, k, shapes) => ({
  shape: k % shapes,
  key: Math.floor(k / shapes) % 2 === 0 ? 'x' : 'y',
  value: (k * 7919 + writer) % 2000,
})

export const shapeId = (writer, shape) => `w${writer}-s${shape}`

/** What `doc.getMap("objects")` holds after each writer's first `counts[writer]` edits. */
export const expected = (counts, shapes) => {
  const objects = {}
  counts.forEach((count, writer) => {
    for (let shape = 0; shape < shapes; shape += 1) objects[shapeId(writer, shape)] = { x: 0, y: 0 }
    // Each of a writer's two keys a shape was last set within the last two rounds over its shapes.
    for (let k = Math.max(0, count - 2 * shapes); k < count; k += 1) {
      const { shape, key, value } = edit(writer, k, shapes)
      objects[shapeId(writer, shape)][key] = value
    }
  })
  return objects
}
