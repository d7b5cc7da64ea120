// Five editors on one document, some of them offline for a while; then a sixth client opens it.
import { canonical, Client, open, readConfig, run, seeded, sleep, summary, until } from './client.mjs'
import { changeAtRandom, SHAPES } from './shapes.mjs'

const config = readConfig({ seconds: 10, shape: 'board', seed: 1, offline: 2, rate: 20, settle: 30 })
const shape = SHAPES[config.shape]
const tokens = config.tokens ?? Array(5).fill(null)

const latencies = []
const sentAt = tokens.map(() => [])

// What a receiver must have stayed connected through for an edit to count.
const connection = (client) => (client.synced ? client.connects : null)

/** Note when every edit of the others comes into sight. */
const watch = (clients, me) => {
  const seen = clients.map(() => 0)
  const stamps = clients[me].doc.getMap('stamps')
  stamps.observe((event) => {
    if (event.transaction.local) return
    const now = performance.now()
    for (const key of event.keysChanged) {
      // One frame may carry several edits: all up to the newest stamp come into sight with it.
      for (const last = stamps.get(key); seen[key] < last; seen[key] += 1) {
        const edit = sentAt[key][seen[key]]
        const mine = connection(clients[me])
        if (edit.online && mine !== null && edit.connections[me] === mine) latencies.push(now - edit.at)
      }
    }
  })
}

/** One change and its stamp, in one transaction: whoever sees the stamp sees the change. */
const edit = (clients, me, random) => {
  const { doc } = clients[me]
  const number = sentAt[me].length + 1
  const connections = clients.map(connection)
  sentAt[me].push({ at: performance.now(), online: connections[me] !== null, connections })
  doc.transact(() => {
    changeAtRandom(shape, doc, random, `e${me}-${number}`)
    doc.getMap('stamps').set(String(me), number)
  })
}

const work = async (clients, me) => {
  const random = seeded(config.seed * 1000 + me)
  const end = performance.now() + config.seconds * 1000
  while (performance.now() < end) {
    edit(clients, me, random)
    await sleep((0.5 + random()) * 1000 / config.rate)
  }
}

/** Away for the middle third of the run, editing all the while. */
const goAway = async (client) => {
  await sleep(config.seconds * 1000 / 3)
  client.leave()
  await sleep(config.seconds * 1000 / 3)
  client.comeBack()
}

const contents = (client) => canonical(shape.contents(client.doc))

const settled = (clients) => {
  const stamp = (client, key) => client.doc.getMap('stamps').get(String(key)) ?? 0
  const total = (client) => sentAt.every((edits, key) => stamp(client, key) === edits.length)
  return clients.every((client) => client.synced && total(client)) && new Set(clients.map(contents)).size === 1
}

run(async () => {
  const { base, room } = config
  const clients = tokens.map((token, i) => new Client({ base, room, token, name: `editor ${i}` }))
  await Promise.all(clients.map((client) => client.ready()))
  clients.forEach((_, me) => watch(clients, me))
  const away = clients.slice(0, config.offline).map(goAway)
  await Promise.all([...clients.map((_, me) => work(clients, me)), ...away])
  const allAgree = await until(() => settled(clients), config.settle * 1000, 50)
  const sixth = await open({ base, room, token: config.reader ?? tokens[0], name: 'sixth' })
  // Compared at the very moment of its first sync: a document is answered in full or not at all.
  const sixthAgrees = contents(sixth) === contents(clients[0])
  if (!allAgree) console.error('not settled:', clients.map((client) => contents(client).length))
  return {
    agree: allAgree && sixthAgrees,
    editorsAgree: allAgree,
    contents: shape.contents(sixth.doc),
    latency: summary(latencies),
    edits: sentAt.reduce((sum, edits) => sum + edits.length, 0),
    offlineEdits: sentAt.flat().filter((one) => !one.online).length,
    reconnects: clients.reduce((sum, client) => sum + client.reconnects, 0),
    returns: clients.reduce((sum, client) => sum + client.returns, 0),
    closes: clients.flatMap((client) => client.closes.filter((code) => code !== null)),
  }
})
