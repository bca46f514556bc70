package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"golang.org/x/sys/unix"
)

type publishRequest struct {
	Seed      uint32  `json:"seed"`
	Count     uint64  `json:"count"`
	Size      int     `json:"size"`
	Window    uint64  `json:"window"`
	Rate      float64 `json:"rate"`
	Receivers *int    `json:"receivers"`
}

// publisher is one run of messages, in the background of the control loop.
type publisher struct {
	publishRequest
	topic   *pubsub.Topic
	pattern []byte
	retries uint64
	late    int64
}

func (n *node) publish(q publishRequest) error {
	if q.Size < payloadHeader {
		return errors.New("size is smaller than the payload's header")
	}
	if q.Rate == 0 && q.Window == 0 {
		return errors.New("a closed loop needs a window")
	}
	m, err := n.join(n.cfg.Topics[0])
	if err != nil {
		return err
	}
	p := &publisher{publishRequest: q, topic: m.topic, pattern: make([]byte, q.Size)}
	source := rand.NewChaCha8([32]byte{1})
	source.Read(p.pattern)
	go func() {
		start := now()
		run := p.closedLoop
		if q.Rate > 0 {
			run = p.openLoop
		}
		if err := run(n.credit); err != nil {
			n.out.fail(fmt.Errorf("publish: %w", err))
			return
		}
		n.out.event("published", object{
			"seed": q.Seed, "n": q.Count, "ns": now() - start, "retries": p.retries, "late_ns": p.late,
		})
	}()
	return nil
}

func (p *publisher) closedLoop(credits *creditServer) error {
	receivers := 1
	if p.Receivers != nil {
		receivers = *p.Receivers
	}
	allowed := p.Count // no receivers: nobody to wait for
	if receivers > 0 {
		allowed = credits.await(uint64(p.Seed), receivers, 0) + p.Window
	}
	for i := uint64(0); i < p.Count; i++ {
		if i >= allowed {
			allowed = credits.await(uint64(p.Seed), receivers, i-p.Window+1) + p.Window
		}
		if err := p.one(i); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) openLoop(*creditServer) error {
	t0 := now() + int64(time.Millisecond)
	ticks := make(chan int64, 1024)
	stop := make(chan struct{})
	defer close(stop)
	go p.pace(t0, ticks, stop)
	for i := uint64(0); i < p.Count; i++ {
		due := <-ticks
		p.late = max(p.late, now()-due)
		if err := p.one(i); err != nil {
			return err
		}
	}
	return nil
}

// pace sleeps on a thread of its own, whose timer slack it may set, and wakes the publisher.
func (p *publisher) pace(t0 int64, ticks chan<- int64, stop <-chan struct{}) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for i := uint64(0); i < p.Count; i++ {
		due := t0 + int64(float64(i)*1e9/p.Rate)
		if due > now() {
			if err := sleepUntil(due); err != nil {
				panic(err)
			}
		}
		select {
		case ticks <- due:
		case <-stop:
			return
		}
	}
}

// one publishes message i. The library keeps the payload, so each message has its own.
func (p *publisher) one(i uint64) error {
	data := make([]byte, p.Size)
	copy(data[payloadHeader:], p.pattern[payloadHeader:])
	binary.BigEndian.PutUint32(data[0:], p.Seed)
	binary.BigEndian.PutUint32(data[4:], uint32(i))
	for {
		binary.BigEndian.PutUint64(data[8:], uint64(now()))
		err := p.topic.Publish(context.Background(), data)
		if err == nil {
			return nil
		}
		var invalid pubsub.ValidationError
		if errors.As(err, &invalid) || errors.Is(err, pubsub.ErrTopicClosed) {
			return err // trying again cannot help
		}
		p.retries++
		time.Sleep(time.Millisecond)
	}
}
