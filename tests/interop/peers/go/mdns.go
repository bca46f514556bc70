package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// neighbours are the peers that mDNS finds, with cfg.mdns "find"; "connect" also dials them.
type neighbours struct {
	host    host.Host
	connect bool

	mu    sync.Mutex
	found map[string][]string
}

func (b *neighbours) HandlePeerFound(p peer.AddrInfo) {
	b.mu.Lock()
	for _, a := range p.Addrs {
		b.found[p.ID.String()] = append(b.found[p.ID.String()], a.String())
	}
	b.mu.Unlock()
	if b.connect {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = b.host.Connect(ctx, p) // whoever waits for the connection sees that there is none
	}
}

func (b *neighbours) report() object {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := object{}
	for id, addrs := range b.found {
		found[id] = append([]string{}, addrs...)
	}
	return object{"found": found}
}

func (n *node) startMDNS() error {
	switch n.cfg.MDNS {
	case "":
		return nil
	case "find", "connect":
	default:
		return fmt.Errorf("mdns: find or connect, not %q", n.cfg.MDNS)
	}
	n.near = &neighbours{host: n.host, connect: n.cfg.MDNS == "connect", found: map[string][]string{}}
	return mdns.NewMdnsService(n.host, "", n.near).Start() // until the process ends
}
