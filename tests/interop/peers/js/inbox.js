// Messages delivered since the last call, within bounds; beyond them they are only counted. Digests are made when asked for.
import { createHash } from 'node:crypto'
import { bigEndian } from './config.js'

const INBOX_BYTES = 16 << 20

export class Inbox {
  kept = []
  bytes = 0
  dropped = 0

  constructor (limit) { this.limit = limit }

  add (m) {
    if (this.kept.length >= this.limit || this.bytes + m.msg.data.length > INBOX_BYTES) {
      this.dropped++
      return
    }
    this.bytes += m.msg.data.length
    this.kept.push(m)
  }

  take ({ topic = '', max = 0, data = false }) {
    const messages = []
    this.kept = this.kept.filter(m => {
      if ((topic !== '' && m.msg.topic !== topic) || (max > 0 && messages.length >= max)) return true
      this.bytes -= m.msg.data.length
      messages.push(describe(m, data))
      return false
    })
    const dropped = this.dropped
    this.dropped = 0
    return { messages, dropped }
  }
}

function describe ({ propagationSource, msgId, msg }, data) {
  const signed = msg.type === 'signed'
  return {
    from: signed ? msg.from.toString() : '',
    seqno: signed ? bigEndian(msg.sequenceNumber).toString('hex') : '',
    id: msgId,
    size: msg.data.length,
    sha256: createHash('sha256').update(msg.data).digest('hex'),
    received_from: propagationSource.toString(),
    topic: msg.topic,
    ...(data ? { data: Buffer.from(msg.data).toString('hex') } : {})
  }
}
