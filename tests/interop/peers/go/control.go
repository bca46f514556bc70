package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// driver maps requests to the node. Requests run one after the other, so replies keep their order.
type driver struct {
	out  *output
	node *node
}

// handle answers one line and says whether the program shall end.
func (d *driver) handle(line []byte) bool {
	var head struct {
		ID json.RawMessage `json:"id"`
		Op string          `json:"op"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		d.out.fail(fmt.Errorf("request is not JSON: %w", err))
		return false
	}
	if head.ID == nil {
		head.ID = json.RawMessage("null")
	}
	reply, err := d.run(head.Op, line)
	if reply == nil {
		reply = object{}
	}
	reply["re"], reply["id"], reply["ok"] = head.Op, head.ID, err == nil
	if err != nil {
		reply["error"] = err.Error()
	}
	d.out.write(reply)
	return head.Op == "stop"
}

func (d *driver) run(op string, line []byte) (object, error) {
	switch op {
	case "start":
		return d.start(line)
	case "stop":
		return nil, nil
	case "stats":
		return d.stats(line)
	case "profile":
		return nil, profile(line)
	}
	if d.node == nil {
		return nil, errors.New("not started")
	}
	var r struct {
		Addr     string   `json:"addr"`
		Protocol string   `json:"protocol"`
		Peer     string   `json:"peer"`
		Topic    string   `json:"topic"`
		Topics   []string `json:"topics"`
		Data     string   `json:"data"`
		Group    uint64   `json:"group"`
		Parts    byte     `json:"parts"`
		Messages []string `json:"messages"`
	}
	n := d.node
	switch op { // requests with arguments of their own
	case "reset":
		var q resetRequest
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, err
		}
		return nil, n.counter.reset(q)
	case "publish":
		var q publishRequest
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, err
		}
		return nil, n.publish(q)
	case "inbox":
		var q inboxRequest
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, err
		}
		return n.inbox.take(q), nil
	case "control":
		return nil, n.sendControl(line)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, err
	}
	switch op {
	case "addrs":
		return object{"addrs": n.addrs()}, nil
	case "dial":
		return nil, n.dialAll(r.Addr)
	case "subscribe":
		return nil, n.subscribe(r.Topics)
	case "unsubscribe":
		return nil, n.unsubscribe(r.Topics)
	case "mesh":
		return n.mesh(r.Topic)
	case "lat":
		return n.counter.latencies(), nil
	case "disconnect":
		return nil, n.disconnect(r.Peer)
	case "connect_direct":
		return nil, n.connectDirect(r.Addr)
	case "handle":
		n.handle(r.Protocol)
		return nil, nil
	case "peers":
		return object{"peers": n.peers()}, nil
	case "topics":
		return object{"topics": n.topicPeers()}, nil
	case "rpcs":
		return n.tracer.log.take(), nil
	case "counters":
		return n.tracer.counters(), nil
	case "mdns":
		if n.near == nil {
			return nil, errors.New("mdns: not in cfg")
		}
		return n.near.report(), nil
	case "scores":
		return n.scores.report()
	case "batch":
		return nil, n.sendBatch(r.Topic, r.Messages)
	case "partial_add":
		n.parts.add(n.topicOr(r.Topic), r.Group, r.Parts)
		return nil, nil
	case "partial_publish":
		return nil, n.parts.publish(n.topicOr(r.Topic), r.Group)
	case "partial_state":
		return n.parts.state(n.topicOr(r.Topic)), nil
	case "send":
		data, err := hex.DecodeString(r.Data)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		return nil, n.send(r.Topic, data)
	}
	return nil, fmt.Errorf("unknown request %q", op)
}

func (n *node) topicOr(name string) string {
	if name == "" {
		return n.cfg.Topics[0]
	}
	return name
}

func (d *driver) start(line []byte) (object, error) {
	if d.node != nil {
		return nil, errors.New("already started")
	}
	cfg, err := parseConfig(line)
	if err != nil {
		return nil, err
	}
	n, err := startNode(cfg, d.out)
	if err != nil {
		return nil, err
	}
	d.node = n
	return object{"peer": n.host.ID().String(), "credit": n.credit.addr()}, nil
}
