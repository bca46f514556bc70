package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

const dialTimeout = 15 * time.Second

func (n *node) addrs() []string {
	list := []string{}
	for _, addr := range n.host.Network().ListenAddresses() {
		list = append(list, addr.String()+"/p2p/"+n.host.ID().String())
	}
	return list
}

// dial goes to the given address only: what earlier lives of the peer left in the peer store, and
// the back-off of a failed dial, would make a restart test depend on the library's memory.
func (n *node) dial(info peer.AddrInfo) error {
	net := n.host.Network()
	if net.Connectedness(info.ID) != network.Connected {
		n.host.Peerstore().ClearAddrs(info.ID)
		if s, ok := net.(*swarm.Swarm); ok {
			s.Backoff().Clear(info.ID)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	return n.host.Connect(ctx, info)
}

func (n *node) dialAll(addr string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	nodes := n.all()
	errs := make([]error, len(nodes))
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for i, each := range nodes {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = each.dial(*info)
			<-slots
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (n *node) connectDirect(addr string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	if err := n.ps.AddDirectPeer(*info); err != nil {
		return err
	}
	return n.dial(*info)
}

func (n *node) disconnect(id string) error {
	p, err := peer.Decode(id)
	if err != nil {
		return err
	}
	if n.host.Network().Connectedness(p) == network.NotConnected {
		return errors.New("not connected")
	}
	return n.host.Network().ClosePeer(p)
}

// handle serves a further protocol, on which nothing is to be had: the peers hear of it by identify's push.
func (n *node) handle(id string) {
	n.host.SetStreamHandler(protocol.ID(id), func(s network.Stream) { _ = s.Reset() })
}

func (n *node) peers() []object {
	list := []object{}
	net := n.host.Network()
	store := n.host.Peerstore()
	for _, p := range net.Peers() {
		conns := net.ConnsToPeer(p)
		if len(conns) == 0 {
			continue
		}
		agent, _ := store.Get(p, "AgentVersion")
		protocols, _ := store.GetProtocols(p)
		if protocols == nil {
			protocols = []protocol.ID{}
		}
		addrs := []string{}
		for _, a := range store.Addrs(p) {
			addrs = append(addrs, a.String())
		}
		list = append(list, object{
			"peer": p.String(), "protocol": n.tracer.protocolOf(p),
			"addr":    conns[0].RemoteMultiaddr().String(),
			"inbound": conns[0].Stat().Direction == network.DirInbound,
			"agent":   agent, "protocols": protocols, "addrs": addrs, "conns": len(conns),
		})
	}
	return list
}
