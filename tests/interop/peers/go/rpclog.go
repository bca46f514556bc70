package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

const logIDs = 64 // ids of a kind, in the entry of one RPC

// rpcLog writes RPCs down, one entry each, up to its limit.
type rpcLog struct {
	limit int

	mu      sync.Mutex
	entries []object
	dropped int
}

func (l *rpcLog) add(in bool, p peer.ID, rpc *pb.RPC) {
	if l.limit == 0 {
		return
	}
	entry := describeRPC(in, p, rpc)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) < l.limit {
		l.entries = append(l.entries, entry)
	} else {
		l.dropped++
	}
}

func (l *rpcLog) take() object {
	l.mu.Lock()
	defer l.mu.Unlock()
	reply := object{"rpcs": l.entries, "dropped": l.dropped}
	if l.entries == nil {
		reply["rpcs"] = []object{}
	}
	l.entries, l.dropped = nil, 0
	return reply
}

func hexAll[S ~string](list []string, ids []S) []string {
	for _, id := range ids {
		if len(list) == logIDs {
			break
		}
		list = append(list, hex.EncodeToString([]byte(id)))
	}
	return list
}

// describeRPC shows a message by its first 16 bytes: what id function there is, the log needs none.
func describeRPC(in bool, p peer.ID, rpc *pb.RPC) object {
	subs, messages, ihave, iwant := []object{}, []string{}, []object{}, []string{}
	graft, prune, idontwant := []string{}, []object{}, []string{}
	for _, s := range rpc.GetSubscriptions() {
		subs = append(subs, object{"on": s.GetSubscribe(), "topic": s.GetTopicid()})
	}
	for _, m := range rpc.GetPublish() {
		messages = append(messages, hex.EncodeToString(m.GetData()[:min(16, len(m.GetData()))]))
	}
	c := rpc.GetControl()
	for _, e := range c.GetIhave() {
		ihave = append(ihave, object{"topic": e.GetTopicID(), "ids": hexAll([]string{}, e.GetMessageIDs())})
	}
	for _, e := range c.GetIwant() {
		iwant = hexAll(iwant, e.GetMessageIDs())
	}
	for _, e := range c.GetIdontwant() {
		idontwant = hexAll(idontwant, e.GetMessageIDs())
	}
	for _, e := range c.GetGraft() {
		graft = append(graft, e.GetTopicID())
	}
	for _, e := range c.GetPrune() {
		var backoff any
		if e.Backoff != nil {
			backoff = e.GetBackoff()
		}
		px := []object{}
		for _, info := range e.GetPeers() {
			px = append(px, object{"peer": peer.ID(info.GetPeerID()).String(), "record": len(info.GetSignedPeerRecord())})
		}
		prune = append(prune, object{"topic": e.GetTopicID(), "backoff": backoff, "px": px})
	}
	return object{
		"in": in, "peer": p.String(), "ns": now(), "subs": subs, "messages": messages, "ihave": ihave,
		"iwant": iwant, "graft": graft, "prune": prune, "idontwant": idontwant,
	}
}

// sendControl sends control entries that the router did not think of.
func (n *node) sendControl(line []byte) error {
	var q struct {
		Peer  string   `json:"peer"`
		Graft []string `json:"graft"`
		Prune []struct {
			Topic   string `json:"topic"`
			Backoff uint64 `json:"backoff"`
		} `json:"prune"`
		IHave []struct {
			Topic string   `json:"topic"`
			IDs   []string `json:"ids"`
		} `json:"ihave"`
		IWant     []string `json:"iwant"`
		IDontWant []string `json:"idontwant"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return err
	}
	if n.gossip == nil {
		return errors.New("the router has no control entries")
	}
	p, err := peer.Decode(q.Peer)
	if err != nil {
		return err
	}
	ctl := &pb.ControlMessage{}
	for _, t := range q.Graft {
		ctl.Graft = append(ctl.Graft, &pb.ControlGraft{TopicID: &t})
	}
	for _, e := range q.Prune {
		ctl.Prune = append(ctl.Prune, &pb.ControlPrune{TopicID: &e.Topic, Backoff: &e.Backoff})
	}
	for _, e := range q.IHave {
		ids, err := rawIDs(e.IDs)
		if err != nil {
			return err
		}
		ctl.Ihave = append(ctl.Ihave, &pb.ControlIHave{TopicID: &e.Topic, MessageIDs: ids})
	}
	if len(q.IWant) > 0 {
		ids, err := rawIDs(q.IWant)
		if err != nil {
			return err
		}
		ctl.Iwant = append(ctl.Iwant, &pb.ControlIWant{MessageIDs: ids})
	}
	if len(q.IDontWant) > 0 {
		ids, err := rawIDs(q.IDontWant)
		if err != nil {
			return err
		}
		ctl.Idontwant = append(ctl.Idontwant, &pb.ControlIDontWant{MessageIDs: ids})
	}
	n.gossip.SendControl(p, ctl)
	return nil
}

func rawIDs(list []string) ([]string, error) {
	ids := make([]string, len(list))
	for i, text := range list {
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("id: %w", err)
		}
		ids[i] = string(raw)
	}
	return ids, nil
}
