// A Helia node with the pubsub router of @helia/ipns and libp2p's fetch, as an application would set it up; no DHT, nothing is discovered.
import { join } from 'node:path'
import { delegatedRoutingV1HttpApiClient } from '@helia/delegated-routing-v1-http-api-client'
import { ipns, multihashFromIPNSRoutingKey, multihashToIPNSRoutingKey, pubSubIPNSRouting } from '@helia/ipns'
import { withLibp2pLight } from '@helia/libp2p'
import { ed25519Crypto } from '@ipshipyard/crypto'
import { fetch } from '@libp2p/fetch'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { FsDatastore } from 'datastore-fs'
import { createHeliaLight } from 'helia'
import { base36 } from 'multiformats/bases/base36'
import { CID } from 'multiformats/cid'

const DIAL_MS = 15000
const POLL_MS = 5

const nameOf = key => key.toCID().toString(base36)
const digestOf = name => CID.parse(name, base36).multihash
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

function libp2pOptions (q) {
  return {
    addresses: { listen: [q.listen ?? '/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { reconnectRetries: 0, maxConnections: 1000, inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 },
    connectionGater: { denyDialMultiaddr: () => false },
    peerDiscovery: [],
    services: {
      identify: identify(),
      identifyPush: identifyPush(),
      fetch: fetch(),
      // Nobody may be in the topic yet; and all peers are 127.0.0.1, which must not count against anybody.
      pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, scoreParams: { IPColocationFactorWeight: 0 } })
    }
  }
}

// Names over HTTP alone: the client as a router of @helia/ipns.
function overHttp (helia, url) {
  const client = delegatedRoutingV1HttpApiClient({ url, cacheTTL: 0 })(helia)
  const cid = key => CID.createV1(0x72, multihashFromIPNSRoutingKey(key))
  return {
    get: async (key, options) => await client.getIPNS(cid(key), options),
    put: async (key, record, options) => await client.putIPNS(cid(key), record, options),
    start: async () => await client.start?.(),
    stop: async () => await client.stop?.(),
    getSubscriptions: () => [],
    toString: () => 'DelegatedRouting()'
  }
}

export class Names {
  static async start (q) {
    const names = new Names()
    names.datastore = new FsDatastore(join(q.repo, 'data'))
    await names.datastore.open()
    names.helia = withLibp2pLight(createHeliaLight({ datastore: names.datastore, cryptos: [ed25519Crypto()] }), libp2pOptions(q))
    await names.helia.start()
    names.host = names.helia.libp2p
    names.router = q.delegated === undefined ? pubSubIPNSRouting(names.helia) : overHttp(names.helia, q.delegated)
    // Nothing in @helia/ipns starts its routers; without it, it would not fetch from those who come into a topic.
    await names.router.start()
    names.ipns = ipns(names.helia, { routers: [names.router] })
    return names
  }

  get peer () { return this.host.peerId.toString() }
  addrs () { return this.host.getMultiaddrs().map(a => a.toString()) }
  async dial (addr) { await this.host.dial(multiaddr(addr), { signal: AbortSignal.timeout(DIAL_MS) }) }
  async disconnect (peer) { await this.host.hangUp(peerIdFromString(peer)) }
  peers () { return this.host.getConnections().map(c => ({ peer: c.remotePeer.toString() })) }

  async stop () {
    await this.router.stop()
    await this.helia.stop()
    await this.datastore.close()
  }

  async key (label, hex) {
    const key = hex === undefined
      ? await this.helia.keychain.generateKey(label, { type: 'Ed25519' })
      : await this.helia.keychain.importKey(label, await ed25519Crypto().privateKeyFromProtobuf(Buffer.from(hex, 'hex')))
    return nameOf(key.publicKey)
  }

  async publish (q) {
    if (q.sequence !== undefined) throw new Error('sequence: the library counts itself')
    const options = {}
    if (q.lifetime_ns !== undefined) options.lifetime = q.lifetime_ns / 1e6
    if (q.ttl_ns !== undefined) options.ttl = q.ttl_ns / 1e6
    const { name } = await this.ipns.publish(q.label, q.value, options)
    return { name }
  }

  // What the network has, past the local copy. The library's own answer is "not found" as long as nobody it could ask is in the topic, and once it holds a
  // record that has expired it takes no other one until somebody has asked for the local copy: an application asks again, and for that one, too.
  async resolve (q) {
    const begin = performance.now()
    for (let nocache = true; ; nocache = !nocache) {
      try {
        for await (const { value, record } of this.ipns.resolve(q.name, { nocache, signal: AbortSignal.timeout(q.timeout_ms) })) {
          return { value, sequence: Number(record.sequence ?? 0), ns: Math.round((performance.now() - begin) * 1e6) }
        }
      } catch (e) {
        if (performance.now() - begin + POLL_MS > q.timeout_ms) throw e
      }
      if (!nocache) await sleep(POLL_MS)
    }
  }

  async follow (name) {
    try {
      for await (const _ of this.ipns.resolve(name, { signal: AbortSignal.timeout(2000), nocache: true })) break
    } catch {} // that it is not there yet is no error: the topic is joined
  }

  follows () {
    const prefix = '/record/'
    return this.router.getSubscriptions().map(topic => {
      const key = Buffer.from(topic.slice(prefix.length), 'base64url')
      return CID.decode(Buffer.concat([Buffer.from([1, 0x72]), key.subarray('/ipns/'.length)])).toString(base36)
    })
  }

  // Those in the topic that something can be sent to.
  subscribers (name) {
    const pubsub = this.host.services.pubsub
    const topic = `/record/${Buffer.from(multihashToIPNSRoutingKey(digestOf(name))).toString('base64url')}`
    return pubsub.getSubscribers(topic).map(String).filter(id => pubsub.streamsOutbound.has(id))
  }

  async record (name) {
    try {
      return Buffer.from((await this.ipns.localStore.get(multihashToIPNSRoutingKey(digestOf(name)))).record).toString('hex')
    } catch (e) {
      if (e.name === 'NotFoundError') return null
      throw e
    }
  }
}
