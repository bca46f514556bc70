// A gossipsub node of js-libp2p in a page. It asks the server that it comes from what to do, and tells it what came of that.
import { noise } from '@chainsafe/libp2p-noise'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const hex = bytes => Array.from(bytes, b => b.toString(16).padStart(2, '0')).join('')
const sha256 = async data => hex(new Uint8Array(await crypto.subtle.digest('SHA-256', data)))
const post = async line => await (await fetch('/page', { method: 'POST', body: JSON.stringify(line) })).json()

// The author's bytes and the sequence number, as the others make it.
function authorId (m) {
  const author = m.from.toMultihash().bytes
  const id = new Uint8Array(author.length + 8)
  id.set(author)
  new DataView(id.buffer).setBigUint64(author.length, m.sequenceNumber)
  return id
}

const node = await createLibp2p({
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false },
  connectionManager: { reconnectRetries: 0 },
  services: { identify: identify(), pubsub: gossipsub({ msgIdFn: authorId, heartbeatInterval: 300, scoreParams: { IPColocationFactorWeight: 0 } }) }
})
const pubsub = node.services.pubsub
let inbox = []
pubsub.addEventListener('gossipsub:message', e => inbox.push(e.detail))

const operations = {
  async dial (q) { await node.dial(multiaddr(q.addr), { signal: AbortSignal.timeout(15000) }) },
  async disconnect (q) { await node.hangUp(peerIdFromString(q.peer)) },
  subscribe (q) { pubsub.subscribe(q.topic) },
  unsubscribe (q) { pubsub.unsubscribe(q.topic) },
  mesh: q => ({ mesh: pubsub.getMeshPeers(q.topic).map(String), conns: node.getConnections().map(c => c.remoteAddr.toString()) }),
  // As many bytes as are asked for, made here: the answer says which.
  async send (q) {
    const data = new Uint8Array(q.size).map((_, i) => (q.number + 31 * i) & 255)
    await pubsub.publish(q.topic, data)
    return { sha256: await sha256(data) }
  },
  async inbox () {
    const taken = inbox
    inbox = []
    return {
      messages: await Promise.all(taken.map(async ({ propagationSource, msg }) => ({
        size: msg.data.length, sha256: await sha256(msg.data), from: String(msg.from), received_from: String(propagationSource)
      })))
    }
  }
}

let line = { agent: navigator.userAgent, peer: node.peerId.toString() }
for (;;) {
  const q = await post(line)
  try {
    line = { id: q.id, ok: true, ...await operations[q.op](q) }
  } catch (e) {
    line = { id: q.id, ok: false, error: String(e?.message ?? e) }
  }
}
