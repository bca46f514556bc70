package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
)

// node is the host that requests act on. With cfg.nodes > 1 it owns the others, which only dial,
// subscribe and consume.
type node struct {
	cfg    *config
	out    *output
	host   host.Host
	ps     *pubsub.PubSub
	gossip *pubsub.GossipSubRouter // nil: another router
	tracer *tracer
	parts  *partials
	scores scores
	near   *neighbours // nil: no mDNS

	mu     sync.Mutex
	topics map[string]*membership

	// The first node only.
	counter *counter
	inbox   *inbox
	credit  *creditServer
	others  []*node
}

// membership is a joined topic and, while subscribed, its one subscription.
type membership struct {
	topic *pubsub.Topic
	sub   *pubsub.Subscription
	ended chan struct{}
}

func startNode(cfg *config, out *output) (*node, error) {
	if cfg.Threads > 0 {
		runtime.GOMAXPROCS(cfg.Threads)
	}
	first, err := newNode(cfg, out)
	if err != nil {
		return nil, err
	}
	first.counter = newCounter(out)
	first.inbox = newInbox(cfg.Inbox)
	if first.credit, err = newCreditServer(); err != nil {
		return nil, err
	}
	for i := 1; i < cfg.Nodes; i++ {
		other, err := newNode(cfg, out)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		first.others = append(first.others, other)
	}
	return first, nil
}

func newNode(cfg *config, out *output) (*node, error) {
	key, err := identity(cfg)
	if err != nil {
		return nil, err
	}
	h, err := newHost(cfg, key)
	if err != nil {
		return nil, err
	}
	n := &node{cfg: cfg, out: out, host: h, tracer: newTracer(cfg.RPCLog), parts: newPartials(), topics: map[string]*membership{}}
	opts, err := n.options()
	if err == nil {
		err = n.newRouter(opts)
	}
	n.parts.ps = n.ps
	if err == nil {
		_, err = n.join(cfg.Topics[0])
	}
	if err == nil {
		err = n.startMDNS()
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return n, nil
}

func identity(cfg *config) (crypto.PrivKey, error) {
	if cfg.Key != "" {
		raw, err := hex.DecodeString(cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		return crypto.UnmarshalPrivateKey(raw)
	}
	kind, bits := 0, 0
	switch cfg.KeyType {
	case "ed25519":
		kind = crypto.Ed25519
	case "secp256k1":
		kind = crypto.Secp256k1
	case "ecdsa":
		kind = crypto.ECDSA
	case "rsa":
		kind, bits = crypto.RSA, 2048
	default:
		return nil, fmt.Errorf("unknown key_type %q", cfg.KeyType)
	}
	key, _, err := crypto.GenerateKeyPairWithReader(kind, bits, rand.Reader)
	return key, err
}

// All peers of a run are 127.0.0.1, so nothing may trim or limit connections per address.
func newHost(cfg *config, key crypto.PrivKey) (host.Host, error) {
	listen := libp2p.NoListenAddrs
	if cfg.Listen != nil {
		listen = libp2p.ListenAddrStrings(*cfg.Listen)
	}
	security := libp2p.Security(noise.ID, noise.New)
	if cfg.Security == "tls" {
		security = libp2p.Security(tls.ID, tls.New)
	}
	return libp2p.New(
		libp2p.Identity(key),
		listen,
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(websocket.New),
		security,
		libp2p.Muxer(cfg.Muxer, yamux.DefaultTransport),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.UserAgent("msub-go-peer"),
	)
}

func (n *node) options() ([]pubsub.Option, error) {
	cfg := n.cfg
	opts := []pubsub.Option{
		pubsub.WithSeenMessagesTTL(ms(cfg.SeenMs)),
		pubsub.WithMaxMessageSize(cfg.MaxMsg),
		// IDONTWANT and other control RPCs share the queue with the messages: leave them room.
		pubsub.WithPeerOutboundQueueSize(2 * cfg.Queue),
		pubsub.WithValidateQueueSize(cfg.Queue),
		pubsub.WithValidateThrottle(max(cfg.Queue, 8192)),
		pubsub.WithRawTracer(n.tracer),
	}
	policy, err := policyOptions(cfg)
	if err != nil {
		return nil, err
	}
	opts = append(opts, policy...)
	if cfg.Router == "gossipsub" {
		more, err := gossipOptions(cfg)
		if err != nil {
			return nil, err
		}
		opts = append(append(opts, more...), n.parts.options(cfg)...)
		if cfg.Score {
			if more, err = scoreOptions(cfg, &n.scores); err != nil {
				return nil, err
			}
			opts = append(opts, more...)
		}
	}
	return opts, nil
}

func policyOptions(cfg *config) ([]pubsub.Option, error) {
	signs := false
	var opts []pubsub.Option
	switch cfg.Policy {
	case "strict_sign":
		signs = true
		opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.StrictSign))
	case "lax_sign":
		signs = true
		opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.LaxSign))
	case "lax_no_sign":
		opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.LaxNoSign))
	case "go_no_sign": // what StrictNoSign alone does: no signature, but from and seqno
		opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign))
	case "strict_no_sign":
		opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor())
	default:
		return nil, fmt.Errorf("unknown policy %q", cfg.Policy)
	}
	if signs {
		return opts, nil // the id is from + seqno
	}
	id, err := idFunction(cfg.MsgID)
	if err != nil {
		return nil, err
	}
	return append(opts, pubsub.WithMessageIdFn(id)), nil
}

func idFunction(name string) (pubsub.MsgIdFunction, error) {
	switch name {
	case "header16":
		return func(m *pb.Message) string {
			return string(m.Data[:min(16, len(m.Data))])
		}, nil
	case "first8":
		return func(m *pb.Message) string {
			return string(m.Data[:min(8, len(m.Data))])
		}, nil
	case "sha256_20":
		return func(m *pb.Message) string {
			sum := sha256.Sum256(m.Data)
			return string(sum[:20])
		}, nil
	case "default":
		return pubsub.DefaultMsgIdFn, nil
	}
	return nil, fmt.Errorf("unknown msgid %q", name)
}

func gossipOptions(cfg *config) ([]pubsub.Option, error) {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dout = cfg.D, cfg.Dlo, cfg.Dhi, cfg.Dout
	p.Dscore, p.Dlazy = cfg.Dscore, cfg.Dlazy
	p.HeartbeatInitialDelay = 100 * time.Millisecond
	p.HeartbeatInterval = ms(cfg.HeartbeatMs)
	p.HistoryLength, p.HistoryGossip = cfg.History, cfg.GossipHistory
	p.IDontWantMessageThreshold = cfg.IDontWantMin
	opts := []pubsub.Option{
		pubsub.WithGossipSubParams(p),
		pubsub.WithFloodPublish(cfg.FloodPublish),
		pubsub.WithPeerExchange(cfg.PX),
	}
	if len(cfg.Protocols) > 0 {
		opts = append(opts, pubsub.WithGossipSubProtocols(protocolIDs(cfg.Protocols), pubsub.GossipSubDefaultFeatures))
	}
	if len(cfg.Direct) > 0 {
		var infos []peer.AddrInfo
		for _, addr := range cfg.Direct {
			info, err := peer.AddrInfoFromString(addr)
			if err != nil {
				return nil, fmt.Errorf("direct: %w", err)
			}
			infos = append(infos, *info)
		}
		opts = append(opts, pubsub.WithDirectPeers(infos))
	}
	return opts, nil
}

func (n *node) newRouter(opts []pubsub.Option) (err error) {
	ctx, cfg := context.Background(), n.cfg
	switch cfg.Router {
	case "gossipsub":
		n.gossip = pubsub.DefaultGossipSubRouter(n.host)
		n.ps, err = pubsub.NewGossipSubWithRouter(ctx, n.host, n.gossip, append(opts, n.gossip.WithDefaultTagTracer())...)
	case "floodsub":
		if len(cfg.Protocols) > 0 {
			n.ps, err = pubsub.NewFloodsubWithProtocols(ctx, n.host, protocolIDs(cfg.Protocols), opts...)
		} else {
			n.ps, err = pubsub.NewFloodSub(ctx, n.host, opts...)
		}
	case "randomsub":
		if len(cfg.Protocols) > 0 {
			return errors.New("the library's randomsub has fixed protocols")
		}
		n.ps, err = pubsub.NewRandomSub(ctx, n.host, cfg.NetworkSize, opts...)
	default:
		return fmt.Errorf("unknown router %q", cfg.Router)
	}
	return err
}

func protocolIDs(names []string) []protocol.ID {
	ids := make([]protocol.ID, len(names))
	for i, name := range names {
		ids[i] = protocol.ID(name)
	}
	return ids
}
