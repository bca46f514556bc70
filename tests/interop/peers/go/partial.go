package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/bits"
	"strconv"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p-pubsub/partialmessages"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The payload of partial messages: a group has 8 parts of 1 KiB, metadata is one byte with a bit for each part that a node has,
// a partial message is such a byte, the parts in ascending order, and the group's id (8 bytes, big endian).
const (
	groupParts = 8
	partBytes  = 1024
)

type partKey struct {
	topic string
	group uint64
}

type partState struct {
	has, told byte
	spoke     bool
	said      bool
}

type partials struct {
	mu    sync.Mutex
	ps    *pubsub.PubSub
	ext   *partialmessages.PartialMessagesExtension[partState]
	have  map[partKey]byte
	parts map[partKey]*[groupParts][]byte
	bad   int // RPCs that were none of ours

	whole func(group uint64) // told when a group has its last part; nil: nobody asks
	tests int                // RPCs that the test extension told of
}

func newPartials() *partials {
	p := &partials{have: map[partKey]byte{}, parts: map[partKey]*[groupParts][]byte{}}
	p.ext = &partialmessages.PartialMessagesExtension[partState]{
		Logger:        slog.New(slog.NewTextHandler(io.Discard, nil)),
		OnIncomingRPC: p.incoming,
		OnEmitGossip: func(topic string, group []byte, peers []peer.ID, _ map[peer.ID]partState) {
			if key, err := keyOf(topic, group); err == nil {
				p.ext.PublishPartial(topic, group, p.actions(key, peers))
			}
		},
	}
	return p
}

func (p *partials) options(cfg *config) []pubsub.Option {
	var opts []pubsub.Option
	if cfg.TestExtension {
		opts = append(opts, pubsub.WithTestExtension(pubsub.TestExtensionConfig{
			OnReceiveTestExtension: func(peer.ID) {
				p.mu.Lock()
				p.tests++
				p.mu.Unlock()
			},
		}))
	}
	if cfg.Partial {
		opts = append(opts, pubsub.WithPartialMessagesExtension(p.ext))
	}
	return opts
}

func topicOptions(cfg *config) []pubsub.TopicOpt {
	switch {
	case !cfg.Partial:
		return nil
	case cfg.PartialMode == "supports":
		return []pubsub.TopicOpt{pubsub.SupportsPartialMessages()}
	case cfg.PartialMode == "none":
		return nil
	}
	return []pubsub.TopicOpt{pubsub.RequestPartialMessages()}
}

func keyOf(topic string, group []byte) (partKey, error) {
	if len(group) != 8 {
		return partKey{}, fmt.Errorf("a group id of %d bytes", len(group))
	}
	return partKey{topic, binary.BigEndian.Uint64(group)}, nil
}

func groupID(group uint64) []byte { return binary.BigEndian.AppendUint64(nil, group) }

func partOf(group uint64, i int) []byte {
	b := make([]byte, 0, partBytes)
	for k := range partBytes / 8 {
		b = binary.BigEndian.AppendUint64(b, group+uint64(i*partBytes/8+k))
	}
	return b
}

func (p *partials) group(key partKey) *[groupParts][]byte {
	g := p.parts[key]
	if g == nil {
		g = &[groupParts][]byte{}
		p.parts[key] = g
	}
	return g
}

func (p *partials) add(topic string, group uint64, parts byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := partKey{topic, group}
	g := p.group(key)
	for i := range groupParts {
		if parts>>i&1 == 1 {
			g[i] = partOf(group, i)
		}
	}
	before := p.have[key]
	p.have[key] |= parts
	p.tell(key, before)
}

func (p *partials) tell(key partKey, before byte) {
	if p.have[key] == 0xff && before != 0xff && p.whole != nil {
		p.whole(key.group)
	}
}

// actions gives each peer what it lacks, as far as it has spoken, and our bitmap when it has not heard of it.
func (p *partials) actions(key partKey, only []peer.ID) partialmessages.PublishActionsFn[partState] {
	return func(states map[peer.ID]partState, requests func(peer.ID) bool) iter.Seq2[peer.ID, partialmessages.PublishAction] {
		return func(yield func(peer.ID, partialmessages.PublishAction) bool) {
			p.mu.Lock()
			have, g := p.have[key], *p.group(key)
			p.mu.Unlock()
			for id, s := range states {
				if only != nil && !contains(only, id) {
					continue
				}
				var action partialmessages.PublishAction
				if send := have &^ s.has; send != 0 && s.spoke && requests(id) {
					action.EncodedPartialMessage = encodeParts(key.group, send, &g)
					s.has |= send
				}
				if !s.said || s.told != have || !s.spoke {
					action.EncodedPartsMetadata = []byte{have}
					s.told, s.said = have, true
				}
				states[id] = s
				if !yield(id, action) {
					return
				}
			}
		}
	}
}

func contains(list []peer.ID, id peer.ID) bool {
	for _, p := range list {
		if p == id {
			return true
		}
	}
	return false
}

func encodeParts(group uint64, which byte, g *[groupParts][]byte) []byte {
	out := []byte{which}
	for i := range groupParts {
		if which>>i&1 == 1 {
			out = append(out, g[i]...)
		}
	}
	return append(out, groupID(group)...)
}

func (p *partials) incoming(from peer.ID, states map[peer.ID]partState, rpc *pb.PartialMessagesExtension) error {
	key, err := keyOf(rpc.GetTopicID(), rpc.GroupID)
	if err == nil && len(rpc.PartsMetadata) > 1 {
		err = errors.New("metadata of more than a byte")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.bad++
		return err
	}
	s, before := states[from], p.have[key]
	if m := rpc.PartialMessage; len(m) > 0 {
		if len(m) != 1+bits.OnesCount8(m[0])*partBytes+8 {
			p.bad++
			return fmt.Errorf("a partial message of %d bytes", len(m))
		}
		g, at := p.group(key), m[1:]
		for i := range groupParts {
			if m[0]>>i&1 == 1 {
				g[i], at = append([]byte(nil), at[:partBytes]...), at[partBytes:]
			}
		}
		p.have[key] |= m[0]
		s.has |= m[0]
	}
	if len(rpc.PartsMetadata) == 1 {
		s.has |= rpc.PartsMetadata[0]
		s.spoke = true
	}
	states[from] = s
	p.tell(key, before)
	if have := p.have[key]; have != before || s.has != have {
		go pubsub.PublishPartial(p.ps, key.topic, groupID(key.group), p.actions(key, nil))
	}
	return nil
}

func (p *partials) publish(topic string, group uint64) error {
	return pubsub.PublishPartial(p.ps, topic, groupID(group), p.actions(partKey{topic, group}, nil))
}

// state tells the bitmap of each group of a topic, and whether what is there is what it should be.
func (p *partials) state(topic string) object {
	p.mu.Lock()
	defer p.mu.Unlock()
	groups, wrong := object{}, 0
	for key, have := range p.have {
		if key.topic != topic {
			continue
		}
		groups[strconv.FormatUint(key.group, 10)] = have
		for i := range groupParts {
			if have>>i&1 == 1 && string(p.parts[key][i]) != string(partOf(key.group, i)) {
				wrong++
			}
		}
	}
	return object{"groups": groups, "wrong": wrong, "refused": p.bad, "tests": p.tests}
}
