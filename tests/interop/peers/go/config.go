package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
)

// config is the cfg of `start`, beside the request's own fields or inside "cfg".
type config struct {
	Listen        *string  `json:"listen"`
	Topics        []string `json:"topics"`
	Signed        bool     `json:"signed"`
	MsgID         string   `json:"msgid"`
	D             int      `json:"D"`
	Dlo           int      `json:"Dlo"`
	Dhi           int      `json:"Dhi"`
	Dout          int      `json:"Dout"`
	Dscore        int      `json:"Dscore"`
	Dlazy         int      `json:"Dlazy"`
	HeartbeatMs   int      `json:"heartbeat_ms"`
	History       int      `json:"history"`
	GossipHistory int      `json:"gossip_history"`
	SeenMs        int      `json:"seen_ms"`
	FloodPublish  bool     `json:"flood_publish"`
	PX            bool     `json:"px"`
	IDontWantMin  int      `json:"idontwant_min"`
	MaxMsg        int      `json:"max_msg"`
	Queue         int      `json:"queue"`
	Score         bool     `json:"score"`
	Threads       int      `json:"threads"`
	Nodes         int      `json:"nodes"`

	Router    string   `json:"router"`
	Protocols []string `json:"protocols"`
	KeyType   string   `json:"key_type"`
	Key       string   `json:"key"`
	Policy    string   `json:"policy"`
	Direct    []string `json:"direct"`
	Security  string   `json:"security"` // "noise" or "tls": the only one that is offered
	Muxer     string   `json:"muxer"`    // the id under which yamux is offered, and no other

	// Messages the inbox keeps (0: none) and the network size told to randomsub.
	Inbox       int `json:"inbox"`
	NetworkSize int `json:"network_size"`
	RPCLog      int `json:"rpc_log"` // RPCs that are written down

	ScoreParams      json.RawMessage `json:"score_params"` // score.go
	ScoreThresholds  json.RawMessage `json:"score_thresholds"`
	TopicScoreParams json.RawMessage `json:"topic_score_params"` // by topic

	Partial       bool   `json:"partial"`
	PartialMode   string `json:"partial_mode"` // "requests", "supports", "none"
	TestExtension bool   `json:"test_extension"`

	MDNS string `json:"mdns"` // mdns.go
}

func parseConfig(line []byte) (*config, error) {
	listen := "/ip4/127.0.0.1/tcp/0"
	c := &config{
		Listen: &listen, MsgID: "header16",
		D: 8, Dlo: 6, Dhi: 12, Dout: 2, Dscore: 4, Dlazy: 6,
		HeartbeatMs: 1000, History: 5, GossipHistory: 3, SeenMs: 120000,
		IDontWantMin: 1000, MaxMsg: 1 << 20, Queue: 4096, Nodes: 1,
		Router: "gossipsub", KeyType: "ed25519", Security: "noise", Muxer: yamux.ID, Inbox: 4096, NetworkSize: 16,
	}
	var nested struct {
		Cfg json.RawMessage `json:"cfg"`
	}
	if err := json.Unmarshal(line, &nested); err != nil {
		return nil, err
	}
	for _, text := range [][]byte{line, nested.Cfg} {
		if len(text) == 0 {
			continue
		}
		if err := json.Unmarshal(text, c); err != nil {
			return nil, err
		}
	}
	if len(c.Topics) == 0 {
		c.Topics = []string{"bench"}
	}
	if c.Policy == "" {
		c.Policy = "strict_no_sign"
		if c.Signed {
			c.Policy = "strict_sign"
		}
	}
	if c.Nodes < 1 || c.Queue < 1 || c.MaxMsg < 1 || c.HeartbeatMs < 1 {
		return nil, fmt.Errorf("nodes, queue, max_msg and heartbeat_ms must be positive")
	}
	if c.Key != "" && c.Nodes > 1 {
		return nil, fmt.Errorf("one key cannot serve %d nodes", c.Nodes)
	}
	return c, nil
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
