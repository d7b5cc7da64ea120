// The anchor: npm's @y/websocket-server, unmodified, on $PORT. It prints "running at …" when it listens.
process.env.HOST ??= '127.0.0.1'
process.env.PORT ??= '1234'
// The package exports no entry for its own command, so it is reached by its file.
await import('./node_modules/@y/websocket-server/src/server.js')
