package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// How often the library shows its scores: a request answers what it showed last.
const inspectEvery = 100 * time.Millisecond

// The members of cfg: the library's names in snake case, durations in nanoseconds.
type scoreParams struct {
	SkipAtomicValidation        bool          `json:"skip_atomic_validation"`
	TopicScoreCap               float64       `json:"topic_score_cap"`
	AppSpecificWeight           float64       `json:"app_specific_weight"`
	IPColocationFactorWeight    float64       `json:"ip_colocation_factor_weight"`
	IPColocationFactorThreshold int           `json:"ip_colocation_factor_threshold"`
	IPColocationFactorWhitelist []string      `json:"ip_colocation_factor_whitelist"`
	BehaviourPenaltyWeight      float64       `json:"behaviour_penalty_weight"`
	BehaviourPenaltyThreshold   float64       `json:"behaviour_penalty_threshold"`
	BehaviourPenaltyDecay       float64       `json:"behaviour_penalty_decay"`
	DecayInterval               time.Duration `json:"decay_interval"`
	DecayToZero                 float64       `json:"decay_to_zero"`
	RetainScore                 time.Duration `json:"retain_score"`
	SeenMsgTTL                  time.Duration `json:"seen_msg_ttl"`
}

type scoreThresholds struct {
	SkipAtomicValidation bool    `json:"skip_atomic_validation"`
	Gossip               float64 `json:"gossip"`
	Publish              float64 `json:"publish"`
	Graylist             float64 `json:"graylist"`
	AcceptPX             float64 `json:"accept_px"`
	OpportunisticGraft   float64 `json:"opportunistic_graft"`
}

type topicScoreParams struct {
	SkipAtomicValidation            bool          `json:"skip_atomic_validation"`
	TopicWeight                     float64       `json:"topic_weight"`
	TimeInMeshWeight                float64       `json:"time_in_mesh_weight"`
	TimeInMeshQuantum               time.Duration `json:"time_in_mesh_quantum"`
	TimeInMeshCap                   float64       `json:"time_in_mesh_cap"`
	FirstMessageDeliveriesWeight    float64       `json:"first_message_deliveries_weight"`
	FirstMessageDeliveriesDecay     float64       `json:"first_message_deliveries_decay"`
	FirstMessageDeliveriesCap       float64       `json:"first_message_deliveries_cap"`
	MeshMessageDeliveriesWeight     float64       `json:"mesh_message_deliveries_weight"`
	MeshMessageDeliveriesDecay      float64       `json:"mesh_message_deliveries_decay"`
	MeshMessageDeliveriesCap        float64       `json:"mesh_message_deliveries_cap"`
	MeshMessageDeliveriesThreshold  float64       `json:"mesh_message_deliveries_threshold"`
	MeshMessageDeliveriesWindow     time.Duration `json:"mesh_message_deliveries_window"`
	MeshMessageDeliveriesActivation time.Duration `json:"mesh_message_deliveries_activation"`
	MeshFailurePenaltyWeight        float64       `json:"mesh_failure_penalty_weight"`
	MeshFailurePenaltyDecay         float64       `json:"mesh_failure_penalty_decay"`
	InvalidMessageDeliveriesWeight  float64       `json:"invalid_message_deliveries_weight"`
	InvalidMessageDeliveriesDecay   float64       `json:"invalid_message_deliveries_decay"`
}

// strict refuses a member that it does not know: both ends of a test are to have the same parameters.
func strict(name string, text json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// scoreOptions: those of cfg, and in the place of what it leaves out a plain set that keeps score of an honest network.
func scoreOptions(cfg *config, s *scores) ([]pubsub.Option, error) {
	params := &pubsub.PeerScoreParams{DecayInterval: time.Second, DecayToZero: 0.01}
	thresholds := &pubsub.PeerScoreThresholds{GossipThreshold: -100, PublishThreshold: -500, GraylistThreshold: -1000}
	if cfg.ScoreParams != nil {
		var q scoreParams
		if err := strict("score_params", cfg.ScoreParams, &q); err != nil {
			return nil, err
		}
		var whitelist []*net.IPNet
		for _, text := range q.IPColocationFactorWhitelist {
			_, prefix, err := net.ParseCIDR(text)
			if err != nil {
				return nil, fmt.Errorf("score_params: %w", err)
			}
			whitelist = append(whitelist, prefix)
		}
		params = &pubsub.PeerScoreParams{
			SkipAtomicValidation: q.SkipAtomicValidation, TopicScoreCap: q.TopicScoreCap, AppSpecificWeight: q.AppSpecificWeight,
			IPColocationFactorWeight: q.IPColocationFactorWeight, IPColocationFactorThreshold: q.IPColocationFactorThreshold,
			IPColocationFactorWhitelist: whitelist,
			BehaviourPenaltyWeight:      q.BehaviourPenaltyWeight, BehaviourPenaltyThreshold: q.BehaviourPenaltyThreshold,
			BehaviourPenaltyDecay: q.BehaviourPenaltyDecay, DecayInterval: q.DecayInterval, DecayToZero: q.DecayToZero,
			RetainScore: q.RetainScore, SeenMsgTTL: q.SeenMsgTTL,
		}
	}
	params.AppSpecificScore = func(peer.ID) float64 { return 0 }
	params.Topics = map[string]*pubsub.TopicScoreParams{}
	if cfg.ScoreThresholds != nil {
		var q scoreThresholds
		if err := strict("score_thresholds", cfg.ScoreThresholds, &q); err != nil {
			return nil, err
		}
		thresholds = &pubsub.PeerScoreThresholds{
			SkipAtomicValidation: q.SkipAtomicValidation, GossipThreshold: q.Gossip, PublishThreshold: q.Publish,
			GraylistThreshold: q.Graylist, AcceptPXThreshold: q.AcceptPX, OpportunisticGraftThreshold: q.OpportunisticGraft,
		}
	}
	if cfg.TopicScoreParams != nil {
		var all map[string]topicScoreParams
		if err := strict("topic_score_params", cfg.TopicScoreParams, &all); err != nil {
			return nil, err
		}
		for name, q := range all {
			p := pubsub.TopicScoreParams(q) // the same members in the same order
			params.Topics[name] = &p
		}
	} else if cfg.ScoreParams == nil {
		for _, name := range cfg.Topics {
			params.Topics[name] = &pubsub.TopicScoreParams{
				TopicWeight:       1,
				TimeInMeshWeight:  0.01,
				TimeInMeshQuantum: time.Second, TimeInMeshCap: 10,
				FirstMessageDeliveriesWeight: 1, FirstMessageDeliveriesDecay: 0.5, FirstMessageDeliveriesCap: 10,
				InvalidMessageDeliveriesWeight: -100, InvalidMessageDeliveriesDecay: 0.5,
			}
		}
	}
	s.on = true
	return []pubsub.Option{
		pubsub.WithPeerScore(params, thresholds),
		pubsub.WithPeerScoreInspect(s.show, inspectEvery),
	}, nil
}

// scores is what the library showed last.
type scores struct {
	mu   sync.Mutex
	last map[peer.ID]float64
	n    int // how often it did
	on   bool
}

func (s *scores) show(all map[peer.ID]float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.n = all, s.n+1
}

func (s *scores) report() (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return nil, errors.New("no scores: cfg.score was not set")
	}
	all := map[string]float64{}
	for id, score := range s.last {
		all[id.String()] = score
	}
	return object{"scores": all, "shown": s.n}, nil
}
