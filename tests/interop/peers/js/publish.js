// The closed loop, paced by credit, and the open loop, paced by a clock.
import { Worker } from 'node:worker_threads'
import { now } from './counter.js'

const HEADER = 16
const RECORD = 16
const turn = () => new Promise(resolve => setImmediate(resolve))

// Sleeps in a thread of its own: the event loop's timers are no finer than a millisecond.
const SLEEPER = `
const { parentPort } = require('node:worker_threads')
const cell = new Int32Array(new SharedArrayBuffer(4))
parentPort.on('message', due => {
  const left = Number(due - process.hrtime.bigint()) / 1e6
  if (left > 0) Atomics.wait(cell, 0, 0, left)
  parentPort.postMessage(0)
})`

export class Publisher {
  receivers = []
  running = false
  wake = null
  sleeper = null

  constructor (node, event) {
    this.node = node
    this.event = event
  }

  accept (socket) {
    const receiver = { seed: -1, count: 0, rest: Buffer.alloc(0) }
    this.receivers.push(receiver)
    socket.setNoDelay()
    socket.on('data', chunk => {
      let bytes = receiver.rest.length > 0 ? Buffer.concat([receiver.rest, chunk]) : chunk
      for (; bytes.length >= RECORD; bytes = bytes.subarray(RECORD)) {
        receiver.seed = Number(bytes.readBigUInt64LE(0))
        receiver.count = Number(bytes.readBigUInt64LE(8))
      }
      receiver.rest = Buffer.from(bytes)
      this.rouse()
    })
    socket.on('error', () => {})
    socket.on('close', () => { this.receivers = this.receivers.filter(r => r !== receiver) })
    this.rouse()
  }

  rouse () {
    this.wake?.()
    this.wake = null
  }

  // -1: fewer connections than receivers.
  credit ({ seed, receivers }) {
    if (this.receivers.length < receivers) return -1
    const counts = this.receivers.map(r => r.seed === seed ? r.count : 0)
    return receivers > 0 ? Math.min(...counts.toSorted((a, b) => b - a).slice(0, receivers)) : 0
  }

  start (q) {
    if (this.running) throw new Error('still publishing')
    if (!(q.size >= HEADER)) throw new Error(`size: at least ${HEADER}`)
    this.running = true
    this.run(q).catch(e => this.event('error', { error: `publish: ${e.message}` })).finally(() => { this.running = false })
  }

  async run (q) {
    const pattern = Buffer.alloc(q.size)
    for (let i = HEADER, x = 1; i < q.size; i++) {
      x = (Math.imul(x, 1103515245) + 12345) >>> 0
      pattern[i] = x >>> 24
    }
    pattern.writeUInt32BE(q.seed, 0)
    const begin = now()
    const result = { retries: 0, late: 0n }
    for (let i = 0; i < q.count; i++) {
      if (q.rate > 0) await this.due(begin + BigInt(Math.round(i / q.rate * 1e9)), result)
      else await this.room(q, i)
      await this.one(pattern, i, result)
    }
    this.event('published', { seed: q.seed, n: q.count, ns: Number(now() - begin), retries: result.retries, late_ns: Number(result.late) })
  }

  async room (q, i) {
    for (let credit; (credit = this.credit(q)) < 0 || i - credit >= q.window;) {
      await new Promise(resolve => { this.wake = resolve })
    }
    if (i % 16 === 15) await turn() // what arrives meanwhile is read
  }

  async due (at, result) {
    if (at > now()) {
      this.sleeper ??= new Worker(SLEEPER, { eval: true })
      await new Promise(resolve => {
        this.sleeper.once('message', resolve)
        this.sleeper.postMessage(at)
      })
    }
    const late = now() - at
    if (late > result.late) result.late = late
  }

  async one (pattern, i, result) {
    for (;;) {
      const data = Buffer.from(pattern)
      data.writeUInt32BE(i, 4)
      data.writeBigUInt64BE(now(), 8)
      try {
        await this.node.pubsub.publish(this.node.cfg.topics[0], data)
        return
      } catch (e) {
        if (!/NoPeersSubscribed/.test(e.message)) throw e
        result.retries++
        await new Promise(resolve => setTimeout(resolve, 1))
      }
    }
  }
}
