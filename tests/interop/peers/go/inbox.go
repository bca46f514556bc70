package main

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// A bound in bytes too, so that a benchmark that never asks does not hold large messages.
const inboxBytes = 16 << 20

// inbox keeps the messages delivered since the last call; beyond its bounds it only counts.
// Digests are made when asked for, so that a run pays nothing for them.
type inbox struct {
	mu      sync.Mutex
	limit   int
	bytes   int
	kept    []*pubsub.Message
	dropped int
}

func newInbox(limit int) *inbox { return &inbox{limit: limit} }

func (b *inbox) add(m *pubsub.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) >= b.limit || b.bytes+len(m.Data) > inboxBytes {
		b.dropped++
		return
	}
	b.bytes += len(m.Data)
	b.kept = append(b.kept, m)
}

type inboxRequest struct {
	Topic string `json:"topic"` // empty: any
	Max   int    `json:"max"`   // 0: all; the rest stays for the next call
	Data  bool   `json:"data"`
}

func (b *inbox) take(q inboxRequest) object {
	b.mu.Lock()
	var taken, rest []*pubsub.Message
	for _, m := range b.kept {
		if (q.Topic == "" || m.GetTopic() == q.Topic) && (q.Max <= 0 || len(taken) < q.Max) {
			taken = append(taken, m)
			b.bytes -= len(m.Data)
		} else {
			rest = append(rest, m)
		}
	}
	b.kept = rest
	dropped := b.dropped
	b.dropped = 0
	b.mu.Unlock()

	list := make([]object, 0, len(taken))
	for _, m := range taken {
		list = append(list, describe(m, q.Data))
	}
	return object{"messages": list, "dropped": dropped}
}

func describe(m *pubsub.Message, withData bool) object {
	sum := sha256.Sum256(m.Data)
	v := object{
		"from": peer.ID(m.From).String(), "seqno": hex.EncodeToString(m.Seqno), "id": hex.EncodeToString([]byte(m.ID)),
		"size": len(m.Data), "sha256": hex.EncodeToString(sum[:]), "received_from": m.ReceivedFrom.String(),
		"topic": m.GetTopic(),
	}
	if withData {
		v["data"] = hex.EncodeToString(m.Data)
	}
	return v
}
