package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

func (n *node) all() []*node { return append([]*node{n}, n.others...) }

// join returns the topic's membership; publishing needs it too, so it outlives a subscription.
func (n *node) join(name string) (*membership, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if m, ok := n.topics[name]; ok {
		return m, nil
	}
	t, err := n.ps.Join(name, topicOptions(n.cfg)...)
	if err != nil {
		return nil, err
	}
	m := &membership{topic: t}
	n.topics[name] = m
	return m, nil
}

func (n *node) subscribe(names []string) error {
	if len(names) == 0 {
		names = n.cfg.Topics
	}
	for _, each := range n.all() {
		for _, name := range names {
			if err := each.subscribeOne(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *node) subscribeOne(name string) error {
	m, err := n.join(name)
	if err != nil {
		return err
	}
	if m.sub != nil {
		return nil
	}
	m.sub, err = m.topic.Subscribe(pubsub.WithBufferSize(n.cfg.Queue))
	if err != nil {
		return err
	}
	m.ended = make(chan struct{})
	go n.consume(name, m.sub, m.ended)
	return nil
}

// consume is the one reader of a subscription: the counter and the inbox see what it sees.
func (n *node) consume(name string, sub *pubsub.Subscription, ended chan struct{}) {
	defer close(ended)
	counted := n.counter != nil && name == n.cfg.Topics[0]
	for {
		msg, err := sub.Next(context.Background())
		if err != nil {
			return
		}
		if counted {
			if err := n.counter.count(msg.Data); err != nil {
				n.out.fail(fmt.Errorf("credit: %w", err))
			}
		}
		if n.inbox != nil {
			n.inbox.add(msg)
		}
	}
}

func (n *node) unsubscribe(names []string) error {
	if len(names) == 0 {
		names = n.cfg.Topics
	}
	for _, name := range names {
		n.mu.Lock()
		m := n.topics[name]
		n.mu.Unlock()
		if m == nil || m.sub == nil {
			return fmt.Errorf("not subscribed to %q", name)
		}
		m.sub.Cancel()
		select { // the consumer ends when the library has let go of the subscription
		case <-m.ended:
		case <-time.After(5 * time.Second):
			return errors.New("the subscription does not end")
		}
		m.sub = nil
	}
	return nil
}

func (n *node) send(name string, data []byte) error {
	if name == "" {
		name = n.cfg.Topics[0]
	}
	m, err := n.join(name)
	if err != nil {
		return err
	}
	return m.topic.Publish(context.Background(), data)
}

// sendBatch publishes messages together.
func (n *node) sendBatch(name string, messages []string) error {
	m, err := n.join(n.topicOr(name))
	if err != nil {
		return err
	}
	batch := &pubsub.MessageBatch{}
	for _, text := range messages {
		data, err := hex.DecodeString(text)
		if err != nil {
			return fmt.Errorf("messages: %w", err)
		}
		if err := m.topic.AddToBatch(context.Background(), batch, data); err != nil {
			return err
		}
	}
	return n.ps.PublishBatch(batch)
}

func (n *node) mesh(name string) (object, error) {
	if name == "" {
		name = n.cfg.Topics[0]
	}
	subs := n.ps.ListPeers(name)
	mesh := subs // floodsub and randomsub have no mesh: whoever subscribed may get the message
	if n.gossip != nil {
		mesh = n.tracer.meshPeers(name)
	}
	peers := make([]string, 0, len(mesh))
	for _, p := range mesh {
		peers = append(peers, p.String())
	}
	return object{
		"mesh": len(mesh), "subs": len(subs), "conns": len(n.host.Network().Conns()), "mesh_peers": peers,
	}, nil
}

func (n *node) topicPeers() map[string][]string {
	n.mu.Lock()
	names := make([]string, 0, len(n.topics))
	for name := range n.topics {
		names = append(names, name)
	}
	n.mu.Unlock()
	result := map[string][]string{}
	for _, name := range names {
		ids := []string{}
		for _, id := range n.ps.ListPeers(name) {
			ids = append(ids, id.String())
		}
		result[name] = ids
	}
	return result
}
