package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-msgio/pbio"
)

// collectTrace is a collector of go-libp2p-pubsub's RemoteTracer: it prints its address, then each event that a stream brings as
// the JSON tracer would, in a batch of its own size, and what a stream ended with. It ends with its stdin.
func collectTrace() error {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(noise.ID, noise.New),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(v any) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(v)
	}
	h.SetStreamHandler(pubsub.RemoteTracerProtoID, func(s network.Stream) {
		defer s.Close()
		peer := s.Conn().RemotePeer().String()
		z, err := gzip.NewReader(bufio.NewReader(s))
		for err == nil {
			r := pbio.NewDelimitedReader(z, 1<<22)
			var batch pb.TraceEventBatch
			for err = r.ReadMsg(&batch); err == nil; err = r.ReadMsg(&batch) {
				if len(batch.ProtoReflect().GetUnknown()) > 0 {
					err = errors.New("a batch with unknown fields")
					break
				}
				say(object{"peer": peer, "batch": batch.Batch})
				batch.Reset()
			}
		}
		end := err.Error()
		if errors.Is(err, io.EOF) {
			end = ""
		}
		say(object{"peer": peer, "end": end})
	})
	say(object{"addr": h.Addrs()[0].String() + "/p2p/" + h.ID().String()})
	_, _ = io.Copy(io.Discard, os.Stdin)
	return h.Close()
}
