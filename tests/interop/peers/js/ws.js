// A gossipsub node of js-libp2p over WebSocket. usage: node ws.js listen | dial ADDR
// Prints its address, then each message of "news" as "got TEXT"; publishes "js N" until it is stopped.
import { noise } from '@chainsafe/libp2p-noise'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const [what, address] = process.argv.slice(2)
const node = await createLibp2p({
  addresses: { listen: what === 'listen' ? ['/ip4/127.0.0.1/tcp/0/ws'] : [] },
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false },
  services: { identify: identify(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }
})
node.services.pubsub.addEventListener('message', (e) => console.log('got ' + new TextDecoder().decode(e.detail.data).slice(0, 40) + ' ' + e.detail.data.length))
node.services.pubsub.subscribe('news')
for (const a of node.getMultiaddrs()) console.log(a.toString())
if (what === 'dial') await node.dial(multiaddr(address))
console.log('ready')
let n = 0
setInterval(() => {
  const size = [2, 1024, 65536, 900000][n % 4]
  node.services.pubsub.publish('news', new TextEncoder().encode(('js ' + n++ + ' ').padEnd(size, 'j'))).catch(() => {})
}, 500)
