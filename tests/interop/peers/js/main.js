// A js-libp2p gossipsub node driven by JSON lines on stdin and stdout. The protocol is described in docs/benchmarks.md.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parse } from './config.js'
import { Node } from './node.js'

function emit (line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}
const event = (name, fields = {}) => emit({ ev: name, ...fields })

function version () {
  const lock = JSON.parse(readFileSync(new URL('./package-lock.json', import.meta.url)))
  const of = name => lock.packages[`node_modules/${name}`].version
  return `@libp2p/gossipsub ${of('@libp2p/gossipsub')}, libp2p ${of('libp2p')}, node ${process.version}`
}

function stats (gc, recv) {
  if (gc) globalThis.gc?.()
  const memory = process.memoryUsage()
  const usage = process.resourceUsage()
  const status = readFileSync('/proc/self/status', 'latin1')
  return {
    cpu_us: usage.userCPUTime + usage.systemCPUTime,
    user_us: usage.userCPUTime,
    sys_us: usage.systemCPUTime,
    rss: memory.rss,
    hwm: Number(/VmHWM:\s*(\d+)/.exec(status)[1]) * 1024,
    heap: memory.heapUsed + memory.external,
    recv
  }
}

let node

const operations = {
  async start (q) {
    if (node !== undefined) throw new Error('already started')
    node = await Node.start(parse(q), event)
    return { peer: node.peer, credit: node.credit }
  },
  addrs: () => ({ addrs: node.addrs() }),
  dial: async q => await node.dial(q.addr),
  handle: async q => await node.handle(q.protocol),
  subscribe: q => node.subscribe(q.topics),
  unsubscribe: q => node.unsubscribe(q.topics),
  mesh: q => node.mesh(q.topic),
  peers: async () => ({ peers: await node.peers() }),
  topics: () => ({ topics: node.topics() }),
  disconnect: async q => await node.disconnect(q.peer),
  send: async q => await node.send(q.topic, Buffer.from(q.data, 'hex')),
  inbox: q => node.inbox.take(q),
  reset: async q => await node.counter.reset(q),
  publish: q => node.publish(q),
  lat: () => node.counter.latencies(),
  stats: q => stats(q.gc === true, node?.counter.n ?? 0),
  stop: () => {}
}

async function answer (line) {
  let q
  try {
    q = JSON.parse(line)
  } catch (e) {
    event('error', { error: `not JSON: ${e.message}` })
    return
  }
  let reply = { re: q.op, id: q.id }
  try {
    const operation = Object.hasOwn(operations, q.op) ? operations[q.op] : undefined
    if (operation === undefined) throw new Error('unknown op')
    if (node === undefined && !['start', 'stats', 'stop'].includes(q.op)) throw new Error('not started')
    reply = { ...reply, ok: true, ...await operation(q) }
  } catch (e) {
    reply = { ...reply, ok: false, error: String(e?.message ?? e) }
  }
  emit(reply)
  if (q.op === 'stop') process.stdout.write('', () => process.exit(0))
}

process.on('uncaughtException', e => {
  process.stderr.write(`uncaught: ${e.stack}\n`)
  event('error', { error: String(e.message) })
})
process.on('unhandledRejection', e => process.stderr.write(`unhandled: ${e?.stack ?? e}\n`))
event('hello', { proto: 1, impl: 'js', version: version(), caps: ['interop', 'nodes'] })
// One request at a time, so that replies come in the order of the requests.
for await (const line of createInterface({ input: process.stdin })) await answer(line)
process.exit(0)
