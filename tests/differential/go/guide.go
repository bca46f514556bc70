// Choices. Where the router would choose at random it prefers what the engine was seen to choose at the same instant: if the
// engine's choice is one that the router can make, the router makes it, and everything after it is comparable. What the engine
// chose but may not be chosen is not among the candidates, and shows as a difference. Ties are broken at random.
package pubsub

import (
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

type guideState struct {
	start   time.Time
	at      map[int64]*guideInstant
	ids     *peerNames
	px      *[2]string     // the PRUNE that peers are chosen for
	choices map[string]int // how often there was more to choose from than wanted
}

var guided *guideState

func (g *guideState) now() *guideInstant {
	if i := g.at[time.Since(g.start).Milliseconds()]; i != nil {
		return i
	}
	return &guideInstant{}
}

func (g *guideState) note(kind string, among, wanted int) {
	if wanted > 0 && among > wanted {
		g.choices[kind]++
	}
}

// Those with the highest rank come first.
func arrange[T any](l []T, rank func(T) int) {
	rand.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
	for i := 1; i < len(l); i++ {
		for j := i; j > 0 && rank(l[j]) > rank(l[j-1]); j-- {
			l[j], l[j-1] = l[j-1], l[j]
		}
	}
}

func among(l []string, s string) int {
	for _, x := range l {
		if x == s {
			return 1
		}
	}
	return 0
}

func (gs *GossipSubRouter) guidePX(p peer.ID, topic string) *GossipSubRouter {
	if _, ok := gs.p.topics[topic]; ok { // else nobody is looked for
		guided.px = &[2]string{guided.ids.name(p), topic}
	}
	return gs
}

func guidePeers(gs *GossipSubRouter, topic string, count int, peers []peer.ID) {
	g := guided
	now := g.now()
	if g.px != nil {
		var wanted []string
		for _, i := range now.Sent {
			if i[0] == g.px[0] && i[1] == "prune" && strings.HasPrefix(i[2], topic+" ") {
				wanted = strings.Fields(i[3])
			}
		}
		g.px = nil
		g.note("px", len(peers), count)
		arrange(peers, func(p peer.ID) int { return among(wanted, g.ids.name(p)) })
		return
	}
	if l, ok := now.Mesh[topic]; ok {
		g.note("graft", len(peers), count)
		// The outbound quota comes later: it is to find its own. So does opportunistic grafting, which may need the others.
		quota := rand.Intn(4) > 0
		arrange(peers, func(p peer.ID) int {
			rank := 2 * among(l, g.ids.name(p))
			if quota && !gs.outbound[p] {
				rank++
			}
			return rank
		})
		return
	}
	g.note("fanout", len(peers), count)
	arrange(peers, func(p peer.ID) int { return among(now.Fanout[topic], g.ids.name(p)) })
}

// Whoever wants partial messages is chosen like the others, and gets no IHAVE: it fills the places of those whom the engine sent none.
func guideGossip(gs *GossipSubRouter, topic string, target int, peers []peer.ID) {
	g := guided
	g.note("gossip", len(peers), target)
	var wanted []string
	for _, i := range g.now().Sent {
		if i[1] == "ihave" && i[2] == topic {
			wanted = append(wanted, i[0])
		}
	}
	arrange(peers, func(p peer.ID) int {
		if gs.iSupportSendingPartial(topic) && gs.peerRequestsPartial(p, topic) {
			return 1
		}
		return 2 * among(wanted, g.ids.name(p))
	})
}

func guideKept(topic string, peers []peer.ID) {
	g := guided
	l := g.now().Mesh[topic]
	g.note("kept", len(peers), 1)
	arrange(peers, func(p peer.ID) int { return among(l, g.ids.name(p)) })
}

// Who leaves a topic prunes one peer after the other, and the peer exchange goes by the scores that those before have then.
func guideLeave(topic string, mesh map[peer.ID]struct{}) []peer.ID {
	g := guided
	place := make(map[string]int)
	for i, s := range g.now().Sent {
		if s[1] == "prune" && strings.HasPrefix(s[2], topic+" ") {
			place[s[0]] = -i
		}
	}
	l := peerMapToList(mesh)
	arrange(l, func(p peer.ID) int { return place[g.ids.name(p)] })
	return l
}

func guideIDs(p peer.ID, kind, topic string, wanted int, ids []string) {
	g := guided
	g.note(kind, len(ids), wanted)
	var l []string
	for _, i := range g.now().Sent {
		if i[0] == g.ids.name(p) && i[1] == kind && i[2] == topic {
			l = append(l, i[3])
		}
	}
	arrange(ids, func(id string) int { return among(l, id) })
}

// Several PRUNEs of an instant share what was dialled. Those who are connected are chosen without being dialled.
func guideDials(gs *GossipSubRouter, peers []*pb.PeerInfo) {
	g := guided
	wanted := gs.params.PrunePeers
	g.note("dial", len(peers), wanted)
	now := g.now()
	strict := rand.Intn(4) > 0
	arrange(peers, func(pi *pb.PeerInfo) int {
		if !strict {
			return 0
		}
		if _, connected := gs.peers[peer.ID(pi.PeerID)]; connected {
			return 1
		}
		n := 0
		for _, d := range now.Dialed {
			n += 2 * among([]string{d}, g.ids.name(peer.ID(pi.PeerID)))
		}
		return n
	})
	for _, pi := range peers[:wanted] {
		if i := slices.Index(now.Dialed, g.ids.name(peer.ID(pi.PeerID))); i >= 0 {
			now.Dialed = slices.Delete(now.Dialed, i, i+1)
		}
	}
}

// Waits until the peer's writer has taken what it takes, so that a queue is full because its peer is slow and not because the
// router is fast.
func guideWriter(gs *GossipSubRouter, p peer.ID, q *rpcQueue) {
	h := gs.p.host.(*scriptHost)
	for range 100000 {
		q.queueMu.Lock()
		n := q.queue.Len()
		q.queueMu.Unlock()
		if n == 0 || h.writerStopped(p) {
			return
		}
		runtime.Gosched()
	}
}
