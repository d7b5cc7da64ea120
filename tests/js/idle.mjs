// One client that does nothing: an open document must stay open without anybody editing it.
import { open, readConfig, run, sleep } from './client.mjs'

// Providers hang up after 30 s of silence, so a run must be longer than that to say anything.
const config = readConfig({ seconds: 45 })

run(async () => {
  const client = await open(config)
  await sleep(config.seconds * 1000)
  return { reconnects: client.reconnects, closes: client.closes, synced: client.synced }
})
