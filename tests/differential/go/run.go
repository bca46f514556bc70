// One case: a node with gossipsub in a bubble of virtual time, the peers of the script, and what is to be seen of the node.
package pubsub

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sort"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p-pubsub/partialmessages"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"
)

type instant struct {
	t     int64
	order []string                    // peers
	rpc   map[string][]map[string]any // by peer
	trace []any
	state any
}

type scriptNode struct {
	c      *scriptCase
	ids    *peerNames
	start  time.Time
	host   *scriptHost
	ps     *PubSub
	rt     *GossipSubRouter
	topics map[string]*Topic
	subs   map[string][]*Subscription
	relays map[string][]RelayCancelFunc

	mx      sync.Mutex
	out     []*instant
	app     map[peer.ID]float64
	ending  bool
	ordered bool // the step is one of a topic
}

func (n *scriptNode) instant() *instant {
	t := time.Since(n.start).Milliseconds()
	if k := len(n.out); k > 0 && n.out[k-1].t == t {
		return n.out[k-1]
	}
	i := &instant{t: t, rpc: make(map[string][]map[string]any)}
	n.out = append(n.out, i)
	return i
}

func (n *scriptNode) tell(line ...any) {
	n.mx.Lock()
	defer n.mx.Unlock()
	if n.ending {
		return
	}
	i := n.instant()
	i.trace = append(i.trace, line)
}

// What a peer gets at an instant is one RPC, because grouping and order are nobody's business; but an announcement stands before
// what follows from it.
func (n *scriptNode) sent(p *scriptPeer, frame []byte) {
	rpc := &pb.RPC{}
	if err := proto.Unmarshal(frame, rpc); err != nil {
		panic(err)
	}
	n.mx.Lock()
	defer n.mx.Unlock()
	if n.ending {
		return
	}
	i := n.instant()
	l := i.rpc[p.name]
	if l == nil {
		i.order = append(i.order, p.name)
	}
	if l == nil || n.ordered {
		l = append(l, map[string]any{})
	}
	jsonOf(rpc, n.ids, l[len(l)-1])
	i.rpc[p.name] = l
}

// ---- tracer ----

func (n *scriptNode) OnNewOutboundStream(peer.ID, protocol.ID)      {}
func (n *scriptNode) OnClosedOutboundStream(peer.ID)                {}
func (n *scriptNode) Join(string)                                   {}
func (n *scriptNode) Leave(string)                                  {}
func (n *scriptNode) Graft(peer.ID, string)                         {}
func (n *scriptNode) Prune(peer.ID, string)                         {}
func (n *scriptNode) ValidateMessage(*Message)                      {}
func (n *scriptNode) ThrottlePeer(peer.ID)                          {}
func (n *scriptNode) RecvRPC(*RPC)                                  {}
func (n *scriptNode) SendRPC(*RPC, peer.ID)                         {}
func (n *scriptNode) SendRPCCompleted(*RPC, peer.ID, time.Duration) {}
func (n *scriptNode) UndeliverableMessage(*Message)                 {}
func (n *scriptNode) DropRPC(rpc *RPC, p peer.ID) {
	out := make(map[string]any)
	jsonOf(&rpc.RPC, n.ids, out)
	n.tell("drop", []string{n.ids.name(p)}, out)
}
func (n *scriptNode) message(what string, msg *Message, more ...any) {
	if msg.ReceivedFrom == n.host.self {
		return
	}
	n.tell(append([]any{what, idOfData(msg.GetData()), []string{n.ids.name(msg.ReceivedFrom)}}, more...)...)
}
func (n *scriptNode) DeliverMessage(msg *Message)               { n.message("deliver", msg) }
func (n *scriptNode) DuplicateMessage(msg *Message)             { n.message("duplicate", msg) }
func (n *scriptNode) RejectMessage(msg *Message, reason string) { n.message("reject", msg, reason) }

// ---- set-up ----

func (n *scriptNode) validate(_ context.Context, from peer.ID, m *Message) ValidationResult {
	id := idOfData(m.GetData())
	if len(id) < 3 {
		return ValidationAccept
	}
	switch id[:3] {
	case "bad":
		return ValidationReject
	case "ign":
		return ValidationIgnore
	case "loc":
		if from != n.host.self {
			return ValidationIgnore
		}
	}
	return ValidationAccept
}

func (n *scriptNode) scoreParams(m map[string]any) *PeerScoreParams {
	p := &PeerScoreParams{Topics: make(map[string]*TopicScoreParams)}
	setFields(p, numbers(m, "topics", "ip_colocation_factor_whitelist", "skip_atomic_validation"), snake)
	for _, cidr := range list(m["ip_colocation_factor_whitelist"]) {
		_, network, err := net.ParseCIDR(cidr.(string))
		if err != nil {
			panic(err)
		}
		p.IPColocationFactorWhitelist = append(p.IPColocationFactorWhitelist, network)
	}
	topics, _ := m["topics"].(map[string]any)
	for name, t := range topics {
		tp := &TopicScoreParams{}
		setFields(tp, numbers(t.(map[string]any), "skip_atomic_validation"), snake)
		p.Topics[name] = tp
	}
	p.AppSpecificScore = func(p peer.ID) float64 {
		n.mx.Lock()
		defer n.mx.Unlock()
		return n.app[p]
	}
	return p
}

func (n *scriptNode) options() []Option {
	c := &n.c.Config
	quiet := slog.New(slog.DiscardHandler)
	params := DefaultGossipSubParams()
	setFields(&params, c.Params, func(s string) string { return s })
	opts := []Option{
		WithLogger(quiet), WithRPCLogger(quiet), WithGossipSubParams(params), WithRawTracer(n), WithFloodPublish(c.FloodPublish),
		WithPeerExchange(c.PeerExchange), WithMessageIdFn(func(m *pb.Message) string { return idOfData(m.GetData()) }),
	}
	switch c.Policy {
	case "":
		opts = append(opts, WithMessageSignaturePolicy(StrictNoSign), WithNoAuthor())
	case "LaxNoSign":
		opts = append(opts, WithMessageSignaturePolicy(LaxNoSign), WithNoAuthor())
	default:
		panic("policy " + c.Policy)
	}
	if direct := unfold(c.Direct); len(direct) > 0 {
		var l []peer.AddrInfo
		for _, d := range direct {
			l = append(l, peer.AddrInfo{ID: n.ids.id(d)})
		}
		opts = append(opts, WithDirectPeers(l))
	}
	if c.OutboundQueue > 0 {
		opts = append(opts, WithPeerOutboundQueueSize(c.OutboundQueue))
	}
	if c.MaxMessage > 0 {
		opts = append(opts, WithMaxMessageSize(c.MaxMessage))
	}
	if c.MaxControl > 0 {
		opts = append(opts, WithMaxControlMessageSize(c.MaxControl))
	}
	if c.Validator {
		opts = append(opts, WithDefaultValidator(n.validate, WithValidatorInline(true)))
	}
	if len(c.PeerFilterDenies) > 0 {
		opts = append(opts, WithPeerFilter(func(p peer.ID, topic string) bool {
			return among(unfold(c.PeerFilterDenies[topic]), n.ids.name(p)) == 0
		}))
	}
	if len(c.SubscriptionAllow) > 0 {
		f := NewAllowlistSubscriptionFilter(c.SubscriptionAllow...)
		if c.SubscriptionLimit > 0 {
			f = WrapLimitSubscriptionFilter(f, c.SubscriptionLimit)
		}
		opts = append(opts, WithSubscriptionFilter(f))
	}
	if c.ScoreParams != nil {
		t := c.Thresholds
		opts = append(opts, WithPeerScore(n.scoreParams(c.ScoreParams), &PeerScoreThresholds{
			GossipThreshold: t["gossip"], PublishThreshold: t["publish"], GraylistThreshold: t["graylist"],
			AcceptPXThreshold: t["accept_px"], OpportunisticGraftThreshold: t["opportunistic_graft"],
		}))
	}
	if c.TestExtension {
		opts = append(opts, WithTestExtension(TestExtensionConfig{OnReceiveTestExtension: func(p peer.ID) {
			n.tell("test_ext_received", []string{n.ids.name(p)})
		}}))
	}
	if len(c.Partial) > 0 {
		opts = append(opts, WithPartialMessagesExtension(&partialmessages.PartialMessagesExtension[struct{}]{
			Logger: quiet,
			OnEmitGossip: func(string, []byte, []peer.ID, map[peer.ID]struct{}) {
			},
			OnIncomingRPC: func(from peer.ID, _ map[peer.ID]struct{}, rpc *pb.PartialMessagesExtension) error {
				n.tell("partial_received", []string{n.ids.name(from)}, rpc.GetTopicID(), string(rpc.GetGroupID()))
				return nil
			},
		}))
	}
	return opts
}

func (n *scriptNode) topic(name string) *Topic {
	if t := n.topics[name]; t != nil {
		return t
	}
	var opts []TopicOpt
	switch n.c.Config.Partial[name] {
	case "requests":
		opts = append(opts, RequestPartialMessages())
	case "supports":
		opts = append(opts, SupportsPartialMessages())
	}
	t, err := n.ps.Join(name, opts...)
	if err != nil {
		panic(err)
	}
	n.topics[name] = t
	return t
}

// ---- the script ----

func (n *scriptNode) receive(p *scriptPeer, j any) {
	rpc, ok := j.(map[string]any)
	if !ok || p.inbound == nil {
		return
	}
	frame, err := proto.Marshal(rpcOf(rpc, n.ids))
	if err != nil {
		panic(err)
	}
	p.inbound.in <- append(binary.AppendUvarint(nil, uint64(len(frame))), frame...)
	synctest.Wait()
}

func (n *scriptNode) ofPeer(op string, p *scriptPeer, arg any) {
	h := n.host
	switch op {
	case "connect", "connect_out", "connect_in":
		if op != "connect_in" {
			h.connected(p)
			synctest.Wait()
		}
		if op != "connect_out" {
			h.streamIn(p)
			synctest.Wait()
			n.receive(p, arg)
		}
	case "rpc":
		n.receive(p, arg)
	case "disconnect":
		h.disconnected(p)
	case "close_in":
		p.inbound.onceEOF.Do(func() { close(p.inbound.eof) })
		p.inbound = nil
	case "block":
		h.block(p)
	case "unblock":
		h.unblock(p)
	case "app_score":
		n.mx.Lock()
		n.app[h.ids.id(p.name)] = arg.(float64)
		n.mx.Unlock()
	case "blacklist":
		n.ps.BlacklistPeer(h.ids.id(p.name))
	case "direct_add":
		n.eval(func() { n.rt.AddDirectPeer(peer.AddrInfo{ID: h.ids.id(p.name)}) })
	case "direct_remove":
		n.eval(func() { n.rt.RemoveDirectPeer(h.ids.id(p.name)) })
	default:
		panic("unknown op " + op)
	}
	synctest.Wait()
}

func (n *scriptNode) eval(f func()) {
	done := make(chan struct{})
	n.ps.eval <- func() {
		f()
		close(done)
	}
	<-done
}

func (n *scriptNode) step(s []any) {
	op := s[1].(string)
	n.ordered = false
	switch op {
	case "join", "leave", "relay", "unrelay":
		n.ordered = true
	}
	switch op {
	case "state":
		n.eval(n.sample)
		return
	case "join":
		sub, err := n.topic(s[2].(string)).Subscribe(WithBufferSize(1 << 16))
		if err != nil {
			panic(err)
		}
		n.subs[s[2].(string)] = append(n.subs[s[2].(string)], sub)
	case "leave":
		l := n.subs[s[2].(string)]
		l[len(l)-1].Cancel()
		n.subs[s[2].(string)] = l[:len(l)-1]
	case "relay":
		cancel, err := n.topic(s[2].(string)).Relay()
		if err != nil {
			panic(err)
		}
		n.relays[s[2].(string)] = append(n.relays[s[2].(string)], cancel)
	case "unrelay":
		l := n.relays[s[2].(string)]
		l[len(l)-1]()
		n.relays[s[2].(string)] = l[:len(l)-1]
	case "publish":
		id := s[3].(string)
		if err := n.topic(s[2].(string)).Publish(context.Background(), dataOf(id, int(s[4].(float64)))); err != nil {
			reason := err.Error()
			var v ValidationError
			if errors.As(err, &v) {
				reason = v.Reason
			}
			n.tell("publish_error", id, reason)
		}
	default:
		var arg any
		if len(s) > 3 {
			arg = s[3]
		}
		for _, name := range unfold(s[2]) {
			p := n.host.peers[n.ids.id(name)]
			if p == nil {
				panic("no peer " + name)
			}
			n.ofPeer(op, p, arg)
		}
		return
	}
	synctest.Wait()
}

// ---- samples ----

func (n *scriptNode) namesOf(m map[peer.ID]struct{}) []string {
	out := []string{}
	for p := range m {
		out = append(out, n.ids.name(p))
	}
	sort.Strings(out)
	return out
}

func (n *scriptNode) sample() {
	mesh, fanout, topics := map[string]any{}, map[string]any{}, map[string]any{}
	backoff, unwanted := map[string]any{}, map[string]any{}
	for t, m := range n.rt.mesh {
		mesh[t] = n.namesOf(m)
	}
	for t, m := range n.rt.fanout {
		if len(m) > 0 {
			fanout[t] = n.namesOf(m)
		}
	}
	for t, m := range n.ps.topics {
		var l []string
		for p := range m {
			l = append(l, n.ids.name(p))
		}
		sort.Strings(l)
		topics[t] = l
	}
	for t, m := range n.rt.backoff {
		var l []any
		for p, at := range m {
			l = append(l, []any{at.Sub(n.start).Milliseconds(), []string{n.ids.name(p)}})
		}
		if len(l) > 0 {
			backoff[t] = l
		}
	}
	for p, m := range n.rt.unwanted {
		if len(m) > 0 {
			unwanted[n.ids.name(p)] = len(m)
		}
	}
	state := map[string]any{"mesh": mesh, "fanout": fanout, "topics": topics, "backoff": backoff}
	if len(unwanted) > 0 {
		state["unwanted"] = unwanted
	}
	if n.rt.score != nil {
		score := []any{}
		for _, p := range n.host.peers {
			if v := n.rt.score.Score(n.ids.id(p.name)); v != 0 {
				score = append(score, []any{json.Number(strconv.FormatFloat(v, 'g', 17, 64)), []string{p.name}})
			}
		}
		state["score"] = score
	}
	n.mx.Lock()
	defer n.mx.Unlock()
	n.instant().state = state
}

// ---- a run ----

func (n *scriptNode) expect() []any {
	out := []any{}
	for _, i := range n.out {
		e := map[string]any{"t": i.t}
		var rpcs []any
		for _, p := range i.order {
			l := []any{}
			for _, r := range i.rpc[p] {
				if len(r) > 0 { // an empty control submessage is nothing
					l = append(l, r)
				}
			}
			if len(l) > 0 {
				rpcs = append(rpcs, []any{[]string{p}, l})
			}
		}
		if rpcs != nil {
			e["rpc"] = rpcs
		}
		if i.trace != nil {
			e["trace"] = i.trace
		}
		if i.state != nil {
			e["state"] = i.state
		}
		if len(e) > 1 {
			out = append(out, e)
		}
	}
	return out
}

func runCase(t *testing.T, c *scriptCase) (expect []any, choices map[string]int) {
	synctest.Test(t, func(t *testing.T) {
		ids := newPeerNames()
		n := &scriptNode{c: c, ids: ids, start: time.Now(), topics: map[string]*Topic{}, subs: map[string][]*Subscription{},
			relays: map[string][]RelayCancelFunc{}, app: map[peer.ID]float64{}}
		guided = &guideState{start: n.start, at: map[int64]*guideInstant{}, ids: ids, choices: map[string]int{}}
		for i := range c.Guide {
			guided.at[c.Guide[i].T] = &c.Guide[i]
		}
		n.host = &scriptHost{self: ids.id("self"), ids: ids, seen: n.sent, handler: map[protocol.ID]network.StreamHandler{},
			peers: map[peer.ID]*scriptPeer{}}
		n.host.dialed = func(pi peer.AddrInfo) { n.tell("dial", []string{ids.name(pi.ID)}, len(pi.Addrs)) }
		n.host.resets = func(p *scriptPeer, inbound bool) {
			what := "reset_outbound"
			if inbound {
				what = "reset_inbound"
			}
			n.tell(what, []string{p.name})
		}
		for _, group := range c.Peers {
			ip := ""
			if len(group) > 3 {
				ip = group[3].(string)
			}
			for _, name := range unfold(group[0]) {
				n.host.addPeer(len(n.host.peers), name, group[1].(string), group[2] == "out", ip)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		n.rt = DefaultGossipSubRouter(n.host)
		ps, err := NewGossipSubWithRouter(ctx, n.host, n.rt, append(n.options(), WithRawTracer(n.rt.tagTracer))...)
		if err != nil {
			panic(c.Name + ": " + err.Error())
		}
		n.ps = ps
		synctest.Wait()
		for _, s := range c.Script {
			time.Sleep(time.Duration(s[0].(float64))*time.Millisecond - time.Since(n.start))
			synctest.Wait()
			n.step(s)
			n.ordered = false
		}
		time.Sleep(time.Duration(c.End)*time.Millisecond - time.Since(n.start))
		synctest.Wait()

		n.mx.Lock()
		n.ending = true
		n.mx.Unlock()
		cancel()
		for _, p := range n.host.peers {
			n.host.unblock(p)
			n.host.disconnected(p)
		}
		synctest.Wait()
		// Whoever waits for a second before it sees the end.
		time.Sleep(2 * time.Second)
		expect, choices = n.expect(), guided.choices
	})
	return
}

// Reads cases, one to a line, from $MESHSUB_CASES, and writes them with what happened to $MESHSUB_RESULTS.
func TestDifferential(t *testing.T) {
	in, err := os.Open(os.Getenv("MESHSUB_CASES"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	file, err := os.Create(os.Getenv("MESHSUB_RESULTS"))
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(file)
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		var c scriptCase
		whole := make(map[string]json.RawMessage)
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(line, &whole); err != nil {
			t.Fatal(err)
		}
		expect, choices := runCase(t, &c)
		for key, value := range map[string]any{"expect": expect, "choices": choices} {
			if whole[key], err = json.Marshal(value); err != nil {
				t.Fatal(err)
			}
		}
		b, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(append(b, '\n'))
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
