// The host of the node: peers, connections and streams that a script moves. Nothing here has a clock of its own.
package pubsub

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// Names and ids. A case may give the id of a name; otherwise the name is the id.
type peerNames struct{ byName, byID map[string]string }

func newPeerNames() *peerNames {
	return &peerNames{make(map[string]string), make(map[string]string)}
}
func (n *peerNames) is(name, idHex string) {
	if _, ok := n.byName[name]; ok {
		return
	}
	b, err := hex.DecodeString(idHex)
	if err != nil {
		panic(err)
	}
	n.byName[name], n.byID[string(b)] = string(b), name
}
func (n *peerNames) id(name string) peer.ID {
	if id, ok := n.byName[name]; ok {
		return peer.ID(id)
	}
	return peer.ID(name)
}
func (n *peerNames) name(p peer.ID) string {
	if name, ok := n.byID[string(p)]; ok {
		return name
	}
	return string(p)
}

type scriptPeer struct {
	name, protocol string
	out            bool
	addr           ma.Multiaddr
	conn           *scriptConn // nil: not connected
	inbound        *scriptStream
	open           chan struct{} // not closed: the node's writes to it stop
	stopped        bool          // its writer holds an RPC
}

type scriptHost struct {
	host.Host
	self    peer.ID
	ids     *peerNames
	seen    func(p *scriptPeer, frame []byte)
	dialed  func(pi peer.AddrInfo)
	resets  func(p *scriptPeer, inbound bool)
	handler map[protocol.ID]network.StreamHandler

	mx    sync.Mutex
	peers map[peer.ID]*scriptPeer
	subs  []*scriptSubscription
}

func (h *scriptHost) ID() peer.ID                                              { return h.self }
func (h *scriptHost) Peerstore() peerstore.Peerstore                           { return scriptPeerstore{} }
func (h *scriptHost) ConnManager() connmgr.ConnManager                         { return connmgr.NullConnMgr{} }
func (h *scriptHost) Network() network.Network                                 { return scriptNetwork{h: h} }
func (h *scriptHost) EventBus() event.Bus                                      { return scriptBus{h: h} }
func (h *scriptHost) SetStreamHandler(id protocol.ID, f network.StreamHandler) { h.handler[id] = f }
func (h *scriptHost) Connect(_ context.Context, pi peer.AddrInfo) error {
	h.dialed(pi)
	return errors.New("nobody is dialled here")
}
func (h *scriptHost) NewStream(_ context.Context, p peer.ID, _ ...protocol.ID) (network.Stream, error) {
	h.mx.Lock()
	defer h.mx.Unlock()
	sp := h.peers[p]
	if sp == nil || sp.conn == nil {
		return nil, errors.New("not connected")
	}
	s := newScriptStream(h, sp, false)
	sp.conn.streams = append(sp.conn.streams, s)
	return s, nil
}

type scriptPeerstore struct{ peerstore.Peerstore }

func (scriptPeerstore) AddAddrs(peer.ID, []ma.Multiaddr, time.Duration) {}
func (scriptPeerstore) Addrs(peer.ID) []ma.Multiaddr                    { return nil }

type scriptNetwork struct {
	network.Network
	h *scriptHost
}

func (n scriptNetwork) Peers() []peer.ID { return nil }
func (n scriptNetwork) ConnsToPeer(p peer.ID) []network.Conn {
	n.h.mx.Lock()
	defer n.h.mx.Unlock()
	if sp := n.h.peers[p]; sp != nil && sp.conn != nil {
		return []network.Conn{sp.conn}
	}
	return nil
}
func (n scriptNetwork) Connectedness(p peer.ID) network.Connectedness {
	if len(n.ConnsToPeer(p)) > 0 {
		return network.Connected
	}
	return network.NotConnected
}

type scriptBus struct {
	event.Bus
	h *scriptHost
}
type scriptSubscription struct {
	identified bool
	out        chan any
}

func (s *scriptSubscription) Out() <-chan any { return s.out }
func (s *scriptSubscription) Name() string    { return "script" }
func (s *scriptSubscription) Close() error    { return nil }
func (b scriptBus) Subscribe(types any, _ ...event.SubscriptionOpt) (event.Subscription, error) {
	s := &scriptSubscription{out: make(chan any, 16)}
	for _, t := range types.([]any) {
		if _, ok := t.(*event.EvtPeerIdentificationCompleted); ok {
			s.identified = true
		}
	}
	b.h.mx.Lock()
	defer b.h.mx.Unlock()
	b.h.subs = append(b.h.subs, s)
	return s, nil
}

type scriptConn struct {
	network.Conn
	h       *scriptHost
	p       *scriptPeer
	id      peer.ID
	streams []network.Stream
}

func (c *scriptConn) RemotePeer() peer.ID           { return c.id }
func (c *scriptConn) RemoteMultiaddr() ma.Multiaddr { return c.p.addr }
func (c *scriptConn) Stat() network.ConnStats {
	d := network.DirInbound
	if c.p.out {
		d = network.DirOutbound
	}
	return network.ConnStats{Stats: network.Stats{Direction: d}}
}
func (c *scriptConn) GetStreams() []network.Stream {
	c.h.mx.Lock()
	defer c.h.mx.Unlock()
	return append([]network.Stream(nil), c.streams...)
}

type scriptStream struct {
	network.Stream
	h       *scriptHost
	p       *scriptPeer
	conn    *scriptConn
	inbound bool
	dead    chan struct{} // closed: nothing moves any more
	eof     chan struct{} // closed: the peer has closed it
	in      chan []byte
	rest    []byte
	once    sync.Once
	onceEOF sync.Once
}

func newScriptStream(h *scriptHost, p *scriptPeer, inbound bool) *scriptStream {
	return &scriptStream{h: h, p: p, conn: p.conn, inbound: inbound, dead: make(chan struct{}), eof: make(chan struct{}),
		in: make(chan []byte, 64)}
}
func (s *scriptStream) Conn() network.Conn               { return s.conn }
func (s *scriptStream) Protocol() protocol.ID            { return protocol.ID(s.p.protocol) }
func (s *scriptStream) SetWriteDeadline(time.Time) error { return nil }
func (s *scriptStream) Close() error                     { return nil }
func (s *scriptStream) die()                             { s.once.Do(func() { close(s.dead) }) }
func (s *scriptStream) Reset() error {
	select {
	case <-s.dead:
	default:
		s.h.resets(s.p, s.inbound)
		s.die()
	}
	return nil
}
func (s *scriptStream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		select {
		case s.rest = <-s.in:
		case <-s.eof:
			return 0, io.EOF
		case <-s.dead:
			return 0, errors.New("reset")
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
func (s *scriptStream) Write(b []byte) (int, error) {
	s.h.mx.Lock()
	open := s.p.open
	s.h.mx.Unlock()
	select {
	case <-open:
	default:
		s.h.writing(s.p, true)
		select {
		case <-open:
		case <-s.dead:
		}
		s.h.writing(s.p, false)
	}
	select {
	case <-s.dead:
		return 0, errors.New("reset")
	default:
	}
	n, k := binary.Uvarint(b)
	if k <= 0 || int(n) != len(b)-k {
		panic("a write is not one frame")
	}
	s.h.seen(s.p, append([]byte(nil), b[k:]...))
	return len(b), nil
}

func (h *scriptHost) writing(p *scriptPeer, stopped bool) {
	h.mx.Lock()
	defer h.mx.Unlock()
	p.stopped = stopped
}
func (h *scriptHost) writerStopped(id peer.ID) bool {
	h.mx.Lock()
	defer h.mx.Unlock()
	p := h.peers[id]
	return p.conn == nil || len(p.conn.streams) == 0 || p.stopped
}

// ---- what the script does ----

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (h *scriptHost) addPeer(index int, name, proto string, out bool, ip string) {
	if ip == "" {
		ip = fmt.Sprintf("10.%d.%d.1", index/250, index%250)
	}
	family := "ip4"
	if strings.Contains(ip, ":") {
		family = "ip6"
	}
	h.peers[h.ids.id(name)] = &scriptPeer{name: name, protocol: proto, out: out, open: closedChan(),
		addr: ma.StringCast("/" + family + "/" + ip + "/tcp/1")}
}

func (h *scriptHost) connected(p *scriptPeer) {
	h.mx.Lock()
	p.conn = &scriptConn{h: h, p: p, id: h.ids.id(p.name)}
	subs := h.subs
	h.mx.Unlock()
	for _, s := range subs {
		if s.identified {
			s.out <- event.EvtPeerIdentificationCompleted{Peer: p.conn.id, Protocols: []protocol.ID{protocol.ID(p.protocol)}}
		}
	}
}

func (h *scriptHost) streamIn(p *scriptPeer) {
	if p.conn == nil {
		h.mx.Lock()
		p.conn = &scriptConn{h: h, p: p, id: h.ids.id(p.name)}
		h.mx.Unlock()
	}
	p.inbound = newScriptStream(h, p, true)
	go h.handler[protocol.ID(p.protocol)](p.inbound)
}

func (h *scriptHost) disconnected(p *scriptPeer) {
	h.mx.Lock()
	c := p.conn
	p.conn = nil
	p.open = closedChan()
	h.mx.Unlock()
	if p.inbound != nil {
		p.inbound.die()
		p.inbound = nil
	}
	if c != nil {
		for _, s := range c.streams {
			s.(*scriptStream).die()
		}
	}
}

func (h *scriptHost) block(p *scriptPeer) {
	h.mx.Lock()
	defer h.mx.Unlock()
	p.open = make(chan struct{})
}
func (h *scriptHost) unblock(p *scriptPeer) {
	h.mx.Lock()
	defer h.mx.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}
