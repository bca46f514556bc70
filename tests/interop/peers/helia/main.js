// A Helia node driven by JSON lines on stdin and stdout, as the other peers are (docs/benchmarks.md); of the IPNS requests it knows those of cap ipns.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Names } from './names.js'

function emit (line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

function version () {
  const lock = JSON.parse(readFileSync(new URL('./package-lock.json', import.meta.url)))
  const of = name => `${name} ${lock.packages[`node_modules/${name}`].version}`
  return `${of('helia')}, ${of('@helia/ipns')}, ${of('libp2p')}, node ${process.version}`
}

let names

const operations = {
  async start (q) {
    if (names !== undefined) throw new Error('already started')
    names = await Names.start(q)
    return { peer: names.peer, credit: null }
  },
  addrs: () => ({ addrs: names.addrs() }),
  dial: async q => await names.dial(q.addr),
  disconnect: async q => await names.disconnect(q.peer),
  peers: () => ({ peers: names.peers() }),
  ipns_key: async q => ({ name: await names.key(q.label, q.key) }),
  ipns_publish: async q => await names.publish(q),
  ipns_resolve: async q => await names.resolve(q),
  ipns_follow: async q => await names.follow(q.name),
  ipns_names: q => ({ follows: names.follows(), subscribers: q.name === undefined ? [] : names.subscribers(q.name) }),
  ipns_record: async q => ({ record: await names.record(q.name) }),
  stop: async () => await names?.stop()
}

async function answer (line) {
  let q
  try {
    q = JSON.parse(line)
  } catch (e) {
    emit({ ev: 'error', error: `not JSON: ${e.message}` })
    return
  }
  let reply = { re: q.op, id: q.id }
  try {
    const operation = Object.hasOwn(operations, q.op) ? operations[q.op] : undefined
    if (operation === undefined) throw new Error('unknown op')
    if (names === undefined && !['start', 'stop'].includes(q.op)) throw new Error('not started')
    reply = { ...reply, ok: true, ...await operation(q) }
  } catch (e) {
    reply = { ...reply, ok: false, error: String(e?.message ?? e) }
  }
  emit(reply)
  if (q.op === 'stop') process.stdout.write('', () => process.exit(0))
}

process.on('uncaughtException', e => {
  process.stderr.write(`uncaught: ${e.stack}\n`)
  emit({ ev: 'error', error: String(e.message) })
})
process.on('unhandledRejection', e => process.stderr.write(`unhandled: ${e?.stack ?? e}\n`))
emit({ ev: 'hello', proto: 1, impl: 'helia', version: version(), caps: ['ipns'] })
// One request at a time, so that replies come in the order of the requests.
for await (const line of createInterface({ input: process.stdin })) await answer(line)
process.exit(0)
