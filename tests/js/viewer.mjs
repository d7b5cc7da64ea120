// A viewer's client edits, online and across a reconnection, while an editor and a watcher look on.
import { open, readConfig, run, sleep, until } from './client.mjs'

const config = readConfig({ seconds: 3, edits: 10 })

const keysOf = (client, prefix) => [...client.doc.getMap('objects').keys()].filter((key) => key.startsWith(prefix))

const addObjects = (client, prefix) => {
  for (let i = 0; i < config.edits; i += 1) client.doc.getMap('objects').set(`${prefix}-${i}`, i)
}

/** Edits made while away travel as the answer to the server's sync step 1, not as updates. */
const editAway = async (viewer) => {
  viewer.leave()
  addObjects(viewer, 'viewer-away')
  await sleep(200)
  viewer.comeBack()
  await until(() => viewer.synced || viewer.provider.shouldConnect === false)
}

run(async () => {
  const { base, room } = config
  const [editor, watcher, viewer] = await Promise.all(['editor', 'watcher', 'viewer']
    .map((name) => open({ base, room, token: config[name], name })))
  addObjects(editor, 'editor')
  addObjects(viewer, 'viewer-online')
  const viewerSeesEditor = await until(() => keysOf(viewer, 'editor').length === config.edits)
  await editAway(viewer)
  await sleep(config.seconds * 1000)
  const fresh = await open({ base, room, token: config.editor, name: 'fresh' })
  const seen = new Set([editor, watcher, fresh].flatMap((client) => keysOf(client, 'viewer')))
  return {
    viewerChangesSeen: seen.size,
    viewerChangesStored: keysOf(fresh, 'viewer').length,
    editorChangesSeen: keysOf(watcher, 'editor').length,
    viewerSeesEditor,
    viewerCloses: viewer.closes.filter((code) => code !== null),
  }
})
