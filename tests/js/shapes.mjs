// The two kinds of document the editors work on: how one is changed at random, and what it holds.
import { Y } from './client.mjs'

const TEXTS = [
  'plain words', 'größer, 東京', '👩‍👩‍👧 family', '🙂🙃', 'שלום עולם', 'مرحبا بالعالم',
  'e\u0301 combining', 'tab\tand "quotes"', '',
]
const COLOURS = ['red', 'green', 'blue', null]

const pick = (random, list) => list[Math.floor(random() * list.length)]
const whole = (random, below) => Math.floor(random() * below)

// Positions are cut between code points: half a surrogate pair is no text anybody types.
const cut = (random, text) => [...text].slice(0, whole(random, [...text].length + 1)).join('').length

const editText = (random, text) => {
  const plain = text.toString()
  if (plain.length > 40) text.delete(0, cut(random, plain))
  else text.insert(cut(random, plain), pick(random, TEXTS))
}

const board = {
  contents: (doc) => ({ objects: doc.getMap('objects').toJSON() }),

  add(doc, random, id) {
    const shape = new Y.Map()
    doc.getMap('objects').set(id, shape)
    shape.set('type', pick(random, ['rect', 'note', 'arrow']))
    shape.set('x', whole(random, 2000))
    shape.set('y', random() * 2000)
    shape.set('text', pick(random, TEXTS))
    shape.set('label', new Y.Text(pick(random, TEXTS)))
    shape.set('style', { fill: pick(random, COLOURS), dash: [1, whole(random, 9)] })
  },

  change(doc, random) {
    const objects = doc.getMap('objects')
    const shape = objects.get(pick(random, [...objects.keys()]))
    const what = pick(random, ['x', 'y', 'text', 'label', 'style'])
    if (what === 'label') editText(random, shape.get('label'))
    else if (what === 'text') shape.set('text', pick(random, TEXTS))
    else if (what === 'style') shape.set('style', { fill: pick(random, COLOURS) })
    else shape.set(what, whole(random, 2000))
  },

  remove(doc, random) {
    const objects = doc.getMap('objects')
    objects.delete(pick(random, [...objects.keys()]))
  },

  size: (doc) => doc.getMap('objects').size,
}

const diagram = {
  contents: (doc) => ({ xml: doc.getXmlFragment('diagram-xml').toString() }),

  add(doc, random, id) {
    const root = doc.getXmlFragment('diagram-xml')
    const cell = new Y.XmlElement('mxCell')
    cell.setAttribute('id', id)
    cell.setAttribute('value', pick(random, TEXTS).replace(/["\t]/g, ' '))
    const geometry = new Y.XmlElement('mxGeometry')
    geometry.setAttribute('x', String(whole(random, 2000)))
    cell.insert(0, [geometry, new Y.XmlText(pick(random, TEXTS))])
    root.insert(whole(random, root.length + 1), [cell])
  },

  change(doc, random) {
    const root = doc.getXmlFragment('diagram-xml')
    const cell = root.get(whole(random, root.length))
    const what = pick(random, ['value', 'geometry', 'text', 'bold'])
    if (what === 'value') cell.setAttribute('value', `v${whole(random, 1000)} ${pick(random, ['🙂', 'שלום'])}`)
    else if (what === 'geometry') cell.get(0).setAttribute(pick(random, ['x', 'y']), String(whole(random, 2000)))
    else if (what === 'bold') cell.get(1).format(0, cell.get(1).length, { b: random() < 0.5 ? {} : null })
    else editXmlText(random, cell.get(1))
  },

  remove(doc, random) {
    const root = doc.getXmlFragment('diagram-xml')
    root.delete(whole(random, root.length), 1)
  },

  size: (doc) => doc.getXmlFragment('diagram-xml').length,
}

// An XmlText prints its formatting as tags, so its plain text is put together from its delta.
function editXmlText(random, text) {
  const plain = text.toDelta().map((part) => part.insert).join('')
  if (plain.length > 40) text.delete(0, cut(random, plain))
  else text.insert(cut(random, plain), pick(random, TEXTS))
}

export const SHAPES = { board, diagram }

/** One random change: mostly changes, some additions, fewer deletions. */
export const changeAtRandom = (shape, doc, random, id) => {
  const dice = random()
  const size = shape.size(doc)
  if (size < 3 || dice < 0.2) shape.add(doc, random, id)
  else if (dice < 0.32) shape.remove(doc, random)
  else shape.change(doc, random)
}
