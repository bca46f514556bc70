// The cfg of `start`, and the library's options that follow from it.
import { createHash } from 'node:crypto'
import { generateKeyPair, privateKeyFromProtobuf } from '@libp2p/crypto/keys'

const DEFAULTS = {
  listen: '/ip4/127.0.0.1/tcp/0', topics: ['bench'], signed: false, msgid: 'header16', D: 8, Dlo: 6, Dhi: 12, Dout: 2, Dscore: 4, Dlazy: 6,
  heartbeat_ms: 1000, history: 5, gossip_history: 3, seen_ms: 120000, flood_publish: false, px: false, idontwant_min: 1000, max_msg: 1 << 20,
  queue: 4096, score: false, nodes: 1, router: 'gossipsub', key_type: 'ed25519', inbox: 4096
}
const KEYS = { ed25519: ['Ed25519'], secp256k1: ['secp256k1'], ecdsa: ['ECDSA'], rsa: ['RSA', 2048] }

export function parse (q) {
  const cfg = { ...DEFAULTS, ...q, ...q.cfg }
  if (cfg.topics.length === 0) cfg.topics = DEFAULTS.topics
  cfg.policy ??= cfg.signed ? 'strict_sign' : 'strict_no_sign'
  if (!['strict_sign', 'strict_no_sign'].includes(cfg.policy)) throw new Error(`policy ${cfg.policy}: the library has none such`)
  if (!['gossipsub', 'floodsub'].includes(cfg.router)) throw new Error(`router ${cfg.router}: the library has none such`)
  if (cfg.protocols?.length) throw new Error('protocols: the library offers all it knows')
  if (cfg.score) throw new Error('score: not supported')
  if (!Object.hasOwn(KEYS, cfg.key_type)) throw new Error(`unknown key_type ${cfg.key_type}`)
  if (!(cfg.msgid in ids)) throw new Error(`unknown msgid ${cfg.msgid}`)
  if (cfg.key && cfg.nodes > 1) throw new Error(`one key cannot serve ${cfg.nodes} nodes`)
  return cfg
}

export async function identity (cfg) {
  return cfg.key ? privateKeyFromProtobuf(Buffer.from(cfg.key, 'hex')) : await generateKeyPair(...KEYS[cfg.key_type])
}

const ids = {
  header16: m => m.data.subarray(0, 16),
  sha256_20: m => createHash('sha256').update(m.data).digest().subarray(0, 20)
}

export const bigEndian = n => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(n)
  return bytes
}

// The library's own id of a signed message begins with the author's key: others, which begin with its peer id, would not
// find such ids in their caches, so it is made here as they make it.
const authorId = m => Buffer.concat([m.from.toMultihash().bytes, bigEndian(m.sequenceNumber)])

export function gossipOptions (cfg) {
  const signs = cfg.policy === 'strict_sign'
  return {
    D: cfg.D, Dlo: cfg.Dlo, Dhi: cfg.Dhi, Dout: cfg.Dout, Dscore: cfg.Dscore, Dlazy: cfg.Dlazy,
    heartbeatInterval: cfg.heartbeat_ms,
    mcacheLength: cfg.history,
    mcacheGossip: cfg.gossip_history,
    seenTTL: cfg.seen_ms,
    floodPublish: cfg.flood_publish,
    doPX: cfg.px,
    fallbackToFloodsub: cfg.router === 'floodsub',
    idontwantMinDataSize: cfg.idontwant_min,
    idontwantMaxMessages: cfg.queue,
    globalSignaturePolicy: signs ? 'StrictSign' : 'StrictNoSign',
    msgIdFn: signs ? authorId : ids[cfg.msgid],
    msgIdToStrFn: id => Buffer.from(id).toString('hex'),
    maxInboundDataLength: cfg.max_msg + 4096,
    maxOutboundBufferSize: Math.max(64 << 20, cfg.queue * 4096),
    maxInboundStreams: 100,
    allowPublishToZeroTopicPeers: false,
    // Scores cannot be switched off. Everything here is 127.0.0.1, which must not count against anybody.
    scoreParams: { IPColocationFactorWeight: 0, behaviourPenaltyWeight: -1e-9, topics: {} }
  }
}
