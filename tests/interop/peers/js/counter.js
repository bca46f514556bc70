// Messages counted as they are delivered, and the receiver's end of the credit channel.
import { connect } from 'node:net'

export const now = () => process.hrtime.bigint()

export class Counter {
  n = 0
  size = -1
  address = null
  socket = null

  constructor (event) { this.event = event }

  async reset ({ seed, size, expect, ack_every: ackEvery, credit = null, lat = false }) {
    if (credit !== null && credit !== this.address) {
      this.socket?.destroy()
      const [host, port] = credit.split(':')
      this.socket = await new Promise((resolve, reject) => {
        const s = connect({ host, port: Number(port), noDelay: true }, () => resolve(s))
        s.on('error', reject)
      })
      this.address = credit
    }
    Object.assign(this, { seed, size, expect, ackEvery, credited: credit !== null, n: 0, first: 0n, last: 0n, kept: lat ? [] : null })
  }

  add (data) {
    if (data.length !== this.size) return
    const view = new DataView(data.buffer, data.byteOffset, data.length)
    if (view.getUint32(0) !== this.seed) return
    this.last = now()
    if (this.n++ === 0) this.first = this.last
    if (this.kept !== null) this.kept.push(Number(this.last - view.getBigUint64(8)))
    if (this.credited && (this.n % this.ackEvery === 0 || this.n === this.expect)) {
      const record = Buffer.alloc(16)
      record.writeBigUInt64LE(BigInt(this.seed), 0)
      record.writeBigUInt64LE(BigInt(this.n), 8)
      this.socket.write(record)
    }
    if (this.n === this.expect) {
      this.event('done', { seed: this.seed, n: this.n, bytes: this.n * this.size, ns: Number(this.last - this.first) })
    }
  }

  latencies () {
    const sorted = (this.kept ?? []).toSorted((a, b) => a - b)
    const rank = q => sorted.length === 0 ? 0 : sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]
    return { n: sorted.length, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), p999: rank(0.999), max: rank(1) }
  }
}
