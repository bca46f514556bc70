package main

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
)

// The credit channel: receivers connect to the publisher and report, in records of two
// little-endian u64 (seed, cumulative count), how far they are.
const creditRecord = 16

type creditServer struct {
	listener net.Listener

	mu    sync.Mutex
	wake  sync.Cond
	conns map[net.Conn]creditState
}

type creditState struct{ seed, count uint64 }

func newCreditServer() (*creditServer, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &creditServer{listener: l, conns: map[net.Conn]creditState{}}
	s.wake.L = &s.mu
	go s.accept()
	return s, nil
}

func (s *creditServer) addr() string { return s.listener.Addr().String() }

func (s *creditServer) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.update(c, creditState{})
		go s.read(c)
	}
}

func (s *creditServer) update(c net.Conn, state creditState) {
	s.mu.Lock()
	s.conns[c] = state
	s.mu.Unlock()
	s.wake.Broadcast()
}

func (s *creditServer) read(c net.Conn) {
	var record [creditRecord]byte
	for {
		if _, err := io.ReadFull(c, record[:]); err != nil {
			break
		}
		s.update(c, creditState{
			seed:  binary.LittleEndian.Uint64(record[0:]),
			count: binary.LittleEndian.Uint64(record[8:]),
		})
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.Close()
}

// await blocks until k receivers are connected and all of them have counted at least want messages
// of this seed. With more connections than k (a receiver of an earlier run), the k furthest count.
func (s *creditServer) await(seed uint64, k int, want uint64) (credit uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var counts []uint64
	for {
		if len(s.conns) >= k {
			counts = counts[:0]
			for _, state := range s.conns {
				n := uint64(0)
				if state.seed == seed {
					n = state.count
				}
				counts = append(counts, n)
			}
			slices.Sort(counts)
			if credit = counts[len(counts)-k]; credit >= want {
				return credit
			}
		}
		s.wake.Wait()
	}
}

// creditClient is the receiver's end; it keeps its connection as long as the address stays.
type creditClient struct {
	addr string
	conn net.Conn
}

func (c *creditClient) connect(addr string) error {
	if addr == c.addr {
		return nil
	}
	if c.conn != nil {
		c.conn.Close()
	}
	c.addr, c.conn = "", nil
	if addr == "" {
		return nil
	}
	conn, err := net.Dial("tcp4", addr) // Go sets TCP_NODELAY by itself
	if err != nil {
		return err
	}
	c.addr, c.conn = addr, conn
	return nil
}

func (c *creditClient) report(seed, count uint64) error {
	if c.conn == nil {
		return nil
	}
	var record [creditRecord]byte
	binary.LittleEndian.PutUint64(record[0:], seed)
	binary.LittleEndian.PutUint64(record[8:], count)
	_, err := c.conn.Write(record[:])
	return err
}
