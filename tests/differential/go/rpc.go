// RPCs: from the file to frames, and from frames to the file.
package pubsub

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"sort"
	"strconv"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
)

func idOfData(data []byte) string {
	if n := bytes.IndexByte(data, 0); n >= 0 {
		data = data[:n]
	}
	return string(data)
}

func dataOf(id string, size int) []byte {
	data := make([]byte, max(size, len(id)))
	copy(data, id)
	return data
}

func list(j any) []any {
	l, _ := j.([]any)
	return l
}

func backoffOf(j any) *uint64 {
	switch v := j.(type) {
	case float64:
		return proto.Uint64(uint64(v))
	case string:
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			panic(err)
		}
		return &n
	}
	return nil
}

func rpcOf(j map[string]any, ids *peerNames) *pb.RPC {
	rpc := &pb.RPC{}
	ctl := &pb.ControlMessage{}
	control := false
	for key, value := range j {
		switch key {
		case "subs":
			for _, e := range list(value) {
				s := list(e)
				o := &pb.RPC_SubOpts{Topicid: proto.String(s[0].(string)), Subscribe: proto.Bool(s[1].(bool))}
				if len(s) > 2 {
					o.RequestsPartial, o.SupportsSendingPartial = proto.Bool(s[2].(bool)), proto.Bool(s[3].(bool))
				}
				rpc.Subscriptions = append(rpc.Subscriptions, o)
			}
			continue
		case "publish":
			for _, e := range list(value) {
				m := list(e)
				msg := &pb.Message{Topic: proto.String(m[0].(string)), Data: dataOf(m[1].(string), int(m[2].(float64)))}
				if len(m) > 3 {
					msg.From, msg.Seqno = []byte(ids.id(m[3].(string))), []byte{0, 0, 0, 0, 0, 0, 0, 1}
				}
				rpc.Publish = append(rpc.Publish, msg)
			}
			continue
		case "test_ext":
			rpc.TestExtension = &pb.TestExtension{}
			continue
		case "partial":
			p := list(value)
			rpc.Partial = &pb.PartialMessagesExtension{TopicID: proto.String(p[0].(string)), GroupID: []byte(p[1].(string)),
				PartialMessage: []byte(p[2].(string)), PartsMetadata: []byte(p[3].(string))}
			continue
		case "empty_control":
		case "ext":
			ctl.Extensions = &pb.ControlExtensions{}
			for _, e := range list(value) {
				switch e {
				case "test":
					ctl.Extensions.TestExtension = proto.Bool(true)
				case "partial":
					ctl.Extensions.PartialMessages = proto.Bool(true)
				default:
					panic(fmt.Sprint("extension ", e))
				}
			}
		case "ihave":
			for _, e := range list(value) {
				ctl.Ihave = append(ctl.Ihave, &pb.ControlIHave{TopicID: proto.String(list(e)[0].(string)), MessageIDs: unfold(list(e)[1])})
			}
		case "iwant":
			for _, e := range list(value) {
				ctl.Iwant = append(ctl.Iwant, &pb.ControlIWant{MessageIDs: unfold(e)})
			}
		case "idontwant":
			for _, e := range list(value) {
				ctl.Idontwant = append(ctl.Idontwant, &pb.ControlIDontWant{MessageIDs: unfold(e)})
			}
		case "graft":
			for _, e := range list(value) {
				ctl.Graft = append(ctl.Graft, &pb.ControlGraft{TopicID: proto.String(e.(string))})
			}
		case "prune":
			for _, e := range list(value) {
				p := &pb.ControlPrune{TopicID: proto.String(list(e)[0].(string)), Backoff: backoffOf(list(e)[1])}
				var peers []any
				if len(list(e)) > 2 {
					peers = list(list(e)[2])
				}
				for _, x := range peers {
					px := list(x)
					if len(px) > 1 {
						ids.is(px[0].(string), px[1].(string))
					}
					info := &pb.PeerInfo{PeerID: []byte(ids.id(px[0].(string)))}
					if len(px) > 2 {
						b, err := hex.DecodeString(px[2].(string))
						if err != nil {
							panic(err)
						}
						info.SignedPeerRecord = b
					}
					p.Peers = append(p.Peers, info)
				}
				ctl.Prune = append(ctl.Prune, p)
			}
		default:
			panic("unknown part of an RPC: " + key)
		}
		control = true
	}
	if control {
		rpc.Control = ctl
	}
	return rpc
}

func put(out map[string]any, key string, value ...any) {
	l, _ := out[key].([]any)
	out[key] = append(l, value...)
}

// Adds the parts of an RPC to those of `out`.
func jsonOf(rpc *pb.RPC, ids *peerNames, out map[string]any) {
	for _, s := range rpc.Subscriptions {
		e := []any{s.GetTopicid(), s.GetSubscribe()}
		if s.GetRequestsPartial() || s.GetSupportsSendingPartial() {
			e = append(e, s.GetRequestsPartial(), s.GetSupportsSendingPartial())
		}
		put(out, "subs", e)
	}
	for _, m := range rpc.Publish {
		e := []any{m.GetTopic(), idOfData(m.GetData()), len(m.GetData())}
		if m.Signature != nil || m.Key != nil {
			e = append(e, "signed")
		}
		put(out, "publish", e)
	}
	c := rpc.Control
	for _, i := range c.GetIhave() {
		put(out, "ihave", []any{i.GetTopicID(), i.GetMessageIDs()})
	}
	for _, i := range c.GetIwant() {
		put(out, "iwant", i.GetMessageIDs())
	}
	for _, i := range c.GetIdontwant() {
		put(out, "idontwant", i.GetMessageIDs())
	}
	for _, g := range c.GetGraft() {
		put(out, "graft", g.GetTopicID())
	}
	for _, p := range c.GetPrune() {
		var backoff any
		if p.Backoff != nil {
			backoff = p.GetBackoff()
		}
		px := []string{}
		for _, x := range p.GetPeers() {
			px = append(px, ids.name(peer.ID(x.GetPeerID())))
		}
		sort.Strings(px)
		e := []any{p.GetTopicID(), backoff}
		if len(px) > 0 {
			e = append(e, px)
		}
		put(out, "prune", e)
	}
	if x := c.GetExtensions(); x != nil {
		if x.GetTestExtension() {
			put(out, "ext", "test")
		}
		if x.GetPartialMessages() {
			put(out, "ext", "partial")
		}
	}
	if rpc.TestExtension != nil {
		out["test_ext"] = true
	}
	if p := rpc.Partial; p != nil {
		out["partial"] = []any{p.GetTopicID(), string(p.GetGroupID()), string(p.GetPartialMessage()), string(p.GetPartsMetadata())}
	}
}
