package main

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
)

// Payload: seed (4), number (4), stamp (8), all big-endian, then the pattern.
const payloadHeader = 16

type resetRequest struct {
	Seed     uint32  `json:"seed"`
	Size     int     `json:"size"`
	Expect   uint64  `json:"expect"`
	AckEvery uint64  `json:"ack_every"`
	Credit   *string `json:"credit"`
	Lat      bool    `json:"lat"`
}

// counter counts the messages of one run at the receiver.
type counter struct {
	out *output

	mu          sync.Mutex
	run         resetRequest
	active      bool
	credit      creditClient
	n, bytes    uint64
	first, last int64
	stamps      []int64
}

func newCounter(out *output) *counter { return &counter{out: out} }

func (c *counter) reset(q resetRequest) error {
	if q.Size < payloadHeader {
		return errors.New("size is smaller than the payload's header")
	}
	if q.AckEvery == 0 {
		q.AckEvery = 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	addr := ""
	if q.Credit != nil {
		addr = *q.Credit
	}
	if err := c.credit.connect(addr); err != nil {
		return err
	}
	c.run, c.active = q, true
	c.n, c.bytes, c.first, c.last = 0, 0, 0, 0
	c.stamps = nil
	if q.Lat {
		c.stamps = make([]int64, 0, q.Expect)
	}
	return nil
}

func (c *counter) count(data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active || len(data) != c.run.Size || binary.BigEndian.Uint32(data) != c.run.Seed {
		return nil
	}
	c.last = now()
	if c.n == 0 {
		c.first = c.last
	}
	c.n++
	c.bytes += uint64(len(data))
	if c.run.Lat {
		c.stamps = append(c.stamps, c.last-int64(binary.BigEndian.Uint64(data[8:])))
	}
	var err error
	if c.n%c.run.AckEvery == 0 || c.n == c.run.Expect {
		err = c.credit.report(uint64(c.run.Seed), c.n)
	}
	if c.n == c.run.Expect {
		c.out.event("done", object{"seed": c.run.Seed, "n": c.n, "bytes": c.bytes, "ns": c.last - c.first})
	}
	return err
}

func (c *counter) received() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) latencies() object {
	c.mu.Lock()
	sorted := slices.Clone(c.stamps)
	c.mu.Unlock()
	slices.Sort(sorted)
	rank := func(permille int) int64 { // nearest rank
		if len(sorted) == 0 {
			return 0
		}
		return sorted[max(0, (len(sorted)*permille+999)/1000-1)]
	}
	return object{
		"n": len(sorted), "p50": rank(500), "p90": rank(900), "p99": rank(990), "p999": rank(999), "max": rank(1000),
	}
}
