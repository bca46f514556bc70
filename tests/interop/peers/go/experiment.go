package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

const experimentPort = 9000

// instruction is one of a script of the gossipsub-interop experiments (docs/interop.md).
type instruction struct {
	Type         string             `json:"type"`
	NodeID       int                `json:"nodeID"`
	Inner        *instruction       `json:"instruction"`
	Params       map[string]float64 `json:"gossipSubParams"`
	ConnectTo    []int              `json:"connectTo"`
	Topic        string             `json:"topicID"`
	Partial      bool               `json:"partial"`
	DelaySeconds float64            `json:"delaySeconds"`
	MessageID    uint64             `json:"messageID"`
	Size         int                `json:"messageSizeBytes"`
	Elapsed      int                `json:"elapsedSeconds"`
	Group        uint64             `json:"groupID"`
	Parts        byte               `json:"parts"`
	To           []int              `json:"publishToNodeIDs"`
}

type experiment struct {
	number int
	begin  time.Time
	out    *output
	cfg    *config
	node   *node
}

func experimentKey(number int) (crypto.PrivKey, error) {
	seed := make([]byte, 32)
	binary.LittleEndian.PutUint64(seed, uint64(number))
	key, _, err := crypto.GenerateEd25519Key(strings.NewReader(string(seed)))
	return key, err
}

func (x *experiment) log(msg string, fields object) {
	fields["time"], fields["msg"] = time.Now().UTC().Format(time.RFC3339Nano), msg
	x.out.write(fields)
}

// runExperiment follows the script of the file; its own number is in the host's name.
func runExperiment(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var params struct{ Script []instruction }
	if err = json.Unmarshal(text, &params); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(strings.TrimPrefix(host, "node"))
	if err != nil {
		return fmt.Errorf("host name %q: %w", host, err)
	}
	key, err := experimentKey(number)
	if err != nil {
		return err
	}
	raw, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return err
	}
	cfg, err := parseConfig([]byte(`{}`))
	if err != nil {
		return err
	}
	listen := fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", experimentPort)
	cfg.Listen, cfg.Key, cfg.MsgID, cfg.MaxMsg = &listen, hex.EncodeToString(raw), "first8", 10<<20
	cfg.D, cfg.Dlo, cfg.Dhi, cfg.Dscore, cfg.Dout, cfg.Dlazy, cfg.IDontWantMin = 6, 5, 12, 4, 2, 6, 1024
	cfg.Topics, cfg.Partial = []string{"a-subnet"}, strings.Contains(string(text), "addPartialMessage")
	x := &experiment{number: number, begin: time.Now(), out: newOutput(os.Stdout), cfg: cfg}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return err
	}
	x.log("PeerID", object{"id": id.String(), "node_id": number})
	for i := range params.Script {
		if err := x.run(&params.Script[i]); err != nil {
			return fmt.Errorf("instruction %d: %w", i, err)
		}
	}
	return nil
}

func (x *experiment) run(q *instruction) error {
	switch q.Type {
	case "ifNodeIDEquals":
		if q.NodeID != x.number || q.Inner == nil {
			return nil
		}
		return x.run(q.Inner)
	case "initGossipSub":
		return x.start(q.Params)
	case "connect":
		return x.connect(q.ConnectTo)
	case "subscribeToTopic":
		return x.node.subscribeOne(q.Topic)
	case "setTopicValidationDelay":
		delay := time.Duration(q.DelaySeconds * float64(time.Second))
		return x.node.ps.RegisterTopicValidator(q.Topic, func(context.Context, peer.ID, *pubsub.Message) bool {
			time.Sleep(delay)
			return true
		})
	case "publish":
		m, err := x.node.join(q.Topic)
		if err != nil {
			return err
		}
		data := make([]byte, q.Size)
		binary.BigEndian.PutUint64(data, q.MessageID)
		return m.topic.Publish(context.Background(), data)
	case "waitUntil":
		time.Sleep(time.Until(x.begin.Add(time.Duration(q.Elapsed) * time.Second)))
		return nil
	case "addPartialMessage":
		x.node.parts.add(q.Topic, q.Group, q.Parts)
		return nil
	case "publishPartial":
		return x.node.parts.publish(q.Topic, q.Group)
	}
	return fmt.Errorf("unknown type %q", q.Type)
}

// start takes the degrees; durations are left at what the driver has, which differ by less than a heartbeat.
func (x *experiment) start(params map[string]float64) (err error) {
	for name, to := range map[string]*int{"D": &x.cfg.D, "Dlo": &x.cfg.Dlo, "Dhi": &x.cfg.Dhi, "Dscore": &x.cfg.Dscore, "Dout": &x.cfg.Dout, "Dlazy": &x.cfg.Dlazy} {
		if v, ok := params[name]; ok {
			*to = int(v)
		}
	}
	if x.node, err = newNode(x.cfg, x.out); err != nil {
		return err
	}
	x.node.parts.whole = func(group uint64) { x.log("All parts received", object{"group": group}) }
	x.node.tracer.arrived = func(rpc *pubsub.RPC) {
		for _, m := range rpc.GetPublish() {
			if len(m.Data) >= 8 {
				x.log("Received Message", object{"id": strconv.FormatUint(binary.BigEndian.Uint64(m.Data), 10), "topic": m.GetTopic()})
			}
		}
	}
	return nil
}

func (x *experiment) connect(numbers []int) error {
	for _, k := range numbers {
		key, err := experimentKey(k)
		if err != nil {
			return err
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			return err
		}
		ips, err := net.DefaultResolver.LookupIP(context.Background(), "ip4", fmt.Sprintf("node%d", k))
		if err != nil {
			return err
		}
		if err := x.node.dialAll(fmt.Sprintf("/ip4/%s/tcp/%d/p2p/%s", ips[0], experimentPort, id)); err != nil {
			return err
		}
	}
	return nil
}
