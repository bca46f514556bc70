package main

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// tracer keeps what the library only tells tracers: mesh, agreed protocol, and the counters.
type tracer struct {
	arrived  func(*pubsub.RPC) // each RPC as it comes; nil: nobody asks
	mu       sync.Mutex
	mesh     map[string]map[peer.ID]struct{}
	protocol map[peer.ID]protocol.ID
	rejected map[string]int
	log      rpcLog

	sent, received traffic
	delivered      atomic.Int64
	duplicates     atomic.Int64
	undeliverable  atomic.Int64
	droppedRPCs    atomic.Int64
}

type traffic struct {
	rpcs, messages, graft, prune, ihave, iwant, idontwant atomic.Int64
}

func newTracer(logged int) *tracer {
	return &tracer{
		mesh:     map[string]map[peer.ID]struct{}{},
		protocol: map[peer.ID]protocol.ID{},
		rejected: map[string]int{},
		log:      rpcLog{limit: logged},
	}
}

func (t *traffic) add(rpc *pb.RPC) {
	t.rpcs.Add(1)
	t.messages.Add(int64(len(rpc.GetPublish())))
	if c := rpc.GetControl(); c != nil {
		t.graft.Add(int64(len(c.GetGraft())))
		t.prune.Add(int64(len(c.GetPrune())))
		t.ihave.Add(int64(len(c.GetIhave())))
		t.iwant.Add(int64(len(c.GetIwant())))
		t.idontwant.Add(int64(len(c.GetIdontwant())))
	}
}

func (t *traffic) fields() object {
	return object{
		"rpcs": t.rpcs.Load(), "messages": t.messages.Load(), "graft": t.graft.Load(), "prune": t.prune.Load(),
		"ihave": t.ihave.Load(), "iwant": t.iwant.Load(), "idontwant": t.idontwant.Load(),
	}
}

func (t *tracer) counters() object {
	t.mu.Lock()
	drops := object{"queue_full": t.droppedRPCs.Load(), "undeliverable": t.undeliverable.Load()}
	for reason, n := range t.rejected {
		drops[reason] = n
	}
	t.mu.Unlock()
	return object{
		"sent": t.sent.fields(), "received": t.received.fields(),
		"delivered": t.delivered.Load(), "duplicates": t.duplicates.Load(), "drops": drops,
	}
}

func (t *tracer) meshPeers(topic string) []peer.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.mesh[topic]))
}

func (t *tracer) protocolOf(p peer.ID) protocol.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.protocol[p]
}

func (t *tracer) OnNewOutboundStream(p peer.ID, proto protocol.ID) {
	t.mu.Lock()
	t.protocol[p] = proto
	t.mu.Unlock()
}

// The router takes a lost peer out of its meshes without a Prune.
func (t *tracer) OnClosedOutboundStream(p peer.ID) {
	t.mu.Lock()
	delete(t.protocol, p)
	for _, peers := range t.mesh {
		delete(peers, p)
	}
	t.mu.Unlock()
}

func (t *tracer) Graft(p peer.ID, topic string) {
	t.mu.Lock()
	if t.mesh[topic] == nil {
		t.mesh[topic] = map[peer.ID]struct{}{}
	}
	t.mesh[topic][p] = struct{}{}
	t.mu.Unlock()
}

func (t *tracer) Prune(p peer.ID, topic string) {
	t.mu.Lock()
	delete(t.mesh[topic], p)
	t.mu.Unlock()
}

func (t *tracer) RejectMessage(_ *pubsub.Message, reason string) {
	t.mu.Lock()
	t.rejected[reason]++
	t.mu.Unlock()
}

func (t *tracer) Join(string)                                          {}
func (t *tracer) Leave(string)                                         {}
func (t *tracer) ValidateMessage(*pubsub.Message)                      {}
func (t *tracer) ThrottlePeer(peer.ID)                                 {}
func (t *tracer) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
func (t *tracer) DeliverMessage(*pubsub.Message)                       { t.delivered.Add(1) }
func (t *tracer) DuplicateMessage(*pubsub.Message)                     { t.duplicates.Add(1) }
func (t *tracer) UndeliverableMessage(*pubsub.Message)                 { t.undeliverable.Add(1) }
func (t *tracer) DropRPC(*pubsub.RPC, peer.ID)                         { t.droppedRPCs.Add(1) }

func (t *tracer) RecvRPC(rpc *pubsub.RPC) {
	if t.arrived != nil {
		t.arrived(rpc)
	}
	t.received.add(&rpc.RPC)
	t.log.add(true, rpc.From(), &rpc.RPC)
}

func (t *tracer) SendRPC(rpc *pubsub.RPC, p peer.ID) {
	t.sent.add(&rpc.RPC)
	t.log.add(false, p, &rpc.RPC)
}
