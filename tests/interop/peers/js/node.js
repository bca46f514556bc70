// Hosts, topics, dialling, what is asked about them.
import { createServer } from 'node:net'
import { noise } from '@chainsafe/libp2p-noise'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { gossipOptions, identity } from './config.js'
import { Counter } from './counter.js'
import { Inbox } from './inbox.js'
import { Publisher } from './publish.js'

const DIAL_MS = 15000

// All peers of a run are 127.0.0.1, so nothing may trim or limit connections per address.
async function newHost (cfg) {
  return await createLibp2p({
    privateKey: await identity(cfg),
    addresses: { listen: cfg.listen ? [cfg.listen] : [] },
    transports: [tcp({ backlog: 4096 }), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      maxConnections: 100000, inboundConnectionThreshold: 100000, maxIncomingPendingConnections: 100000, maxParallelDials: 64, reconnectRetries: 0
    },
    connectionGater: { denyDialMultiaddr: () => false },
    nodeInfo: { userAgent: 'msub-js-peer' },
    services: { identify: identify(), identifyPush: identifyPush(), pubsub: gossipsub(gossipOptions(cfg)) }
  })
}

export class Node {
  static async start (cfg, event) {
    const node = new Node()
    node.cfg = cfg
    node.hosts = []
    for (let i = 0; i < cfg.nodes; i++) node.hosts.push(await newHost(cfg))
    node.host = node.hosts[0]
    node.pubsub = node.host.services.pubsub
    node.counter = new Counter(event)
    node.inbox = new Inbox(cfg.inbox)
    node.publisher = new Publisher(node, event)
    node.pubsub.addEventListener('gossipsub:message', e => node.delivered(e.detail))
    node.credit = await node.openCredit()
    return node
  }

  get peer () { return this.host.peerId.toString() }

  delivered (m) {
    if (m.msg.topic === this.cfg.topics[0]) this.counter.add(m.msg.data)
    this.inbox.add(m)
  }

  async openCredit () {
    const server = createServer(socket => this.publisher.accept(socket))
    await new Promise((resolve, reject) => server.on('error', reject).listen(0, '127.0.0.1', resolve))
    return `127.0.0.1:${server.address().port}`
  }

  addrs () { return this.host.getMultiaddrs().map(a => a.toString()) }

  // A protocol the node did not have when it started: its peers hear of it by identify's push.
  async handle (protocol) { await this.host.handle(protocol, stream => stream.abort(new Error('nothing is served here'))) }

  async dial (addr) {
    for (const host of this.hosts) await host.dial(multiaddr(addr), { signal: AbortSignal.timeout(DIAL_MS) })
  }

  subscribe (topics = this.cfg.topics) {
    for (const host of this.hosts) for (const t of topics) host.services.pubsub.subscribe(t)
  }

  unsubscribe (topics = this.cfg.topics) {
    for (const host of this.hosts) for (const t of topics) host.services.pubsub.unsubscribe(t)
  }

  mesh (topic = this.cfg.topics[0]) {
    const peers = this.pubsub.getMeshPeers(topic)
    return {
      mesh: peers.length, mesh_peers: peers.map(String), subs: this.pubsub.getSubscribers(topic).length, conns: this.host.getConnections().length
    }
  }

  topics () {
    return Object.fromEntries(this.pubsub.getTopics().map(t => [t, this.pubsub.getSubscribers(t).map(String)]))
  }

  async peers () {
    const list = []
    for (const conn of this.host.getConnections()) {
      const known = await this.host.peerStore.get(conn.remotePeer).catch(() => undefined)
      const agent = known?.metadata.get('AgentVersion')
      const id = conn.remotePeer.toString()
      list.push({
        peer: id, addr: conn.remoteAddr.toString(), inbound: conn.direction === 'inbound',
        protocol: this.pubsub.streamsOutbound.get(id)?.protocol ?? '',
        agent: agent === undefined ? '' : Buffer.from(agent).toString(), protocols: known?.protocols ?? [],
        addrs: (known?.addresses ?? []).map(a => a.multiaddr.toString())
      })
    }
    return list
  }

  async disconnect (peer) {
    const id = peerIdFromString(peer)
    if (this.host.getConnections(id).length === 0) throw new Error('not connected')
    await this.host.hangUp(id)
  }

  async send (topic = this.cfg.topics[0], data) {
    return { recipients: (await this.pubsub.publish(topic, data)).recipients.length }
  }

  publish (q) { this.publisher.start(q) }
}
