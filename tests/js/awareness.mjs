// Two clients tell who they are and where their cursor stands: what does each see of the other?
import { open, readConfig, run, sleep, until } from './client.mjs'

const config = readConfig({ seconds: 5, tokens: [], users: [{ name: 'first' }, { name: 'second' }] })

const stateOf = (viewer, other) => viewer.provider.awareness.getStates().get(other.doc.clientID) ?? null

run(async () => {
  const { base, room, tokens, users } = config
  const [first, second] = await Promise.all(users.map((_, i) =>
    open({ base, room, token: tokens[i], name: `client ${i}` })))
  for (const [i, client] of [first, second].entries()) {
    client.provider.awareness.setLocalState({ user: users[i], cursor: { x: i, y: 10 * i } })
  }
  const met = await until(() => stateOf(first, second) && stateOf(second, first), config.seconds * 1000)
  // A cursor that moves on must be seen to move.
  second.provider.awareness.setLocalStateField('cursor', { x: 77, y: 0 })
  const moved = await until(() => stateOf(first, second)?.cursor?.x === 77, config.seconds * 1000)
  await sleep(200)
  const [seenByFirst, seenBySecond] = [stateOf(first, second), stateOf(second, first)]
  const clients = first.provider.awareness.getStates().size
  // Without a farewell of its own: it is the server that must tell the others.
  second.vanish()
  const left = await until(() => stateOf(first, second) === null, config.seconds * 1000)
  return {
    met,
    moved,
    left,
    clients,
    seenByFirst: seenByFirst?.user ?? null,
    seenBySecond: seenBySecond?.user ?? null,
    stateSeenByFirst: seenByFirst,
    stateSeenBySecond: seenBySecond,
  }
})
