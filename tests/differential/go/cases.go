// The cases as they stand in the file: see the README.md of the control vectors.
package pubsub

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

type scriptCase struct {
	Name   string          `json:"name"`
	Config scriptConfig    `json:"config"`
	Peers  [][]any         `json:"peers"`
	Script [][]any         `json:"script"`
	End    int64           `json:"end"`
	Guide  []guideInstant  `json:"guide"`
	Raw    json.RawMessage `json:"-"`
}

type scriptConfig struct {
	Params            map[string]float64 `json:"params"`
	ScoreParams       map[string]any     `json:"score_params"`
	Thresholds        map[string]float64 `json:"thresholds"`
	FloodPublish      bool               `json:"flood_publish"`
	PeerExchange      bool               `json:"peer_exchange"`
	Direct            any                `json:"direct"`
	TestExtension     bool               `json:"test_extension"`
	Partial           map[string]string  `json:"partial"`
	OutboundQueue     int                `json:"outbound_queue"`
	MaxMessage        int                `json:"max_message_size"`
	MaxControl        int                `json:"max_control_message_size"`
	PeerFilterDenies  map[string]any     `json:"peer_filter_denies"`
	SubscriptionAllow []string           `json:"subscription_allow"`
	SubscriptionLimit int                `json:"subscription_limit"`
	Policy            string             `json:"policy"`
	Validator         bool               `json:"validator"`
}

// What the engine did at an instant: items "peer kind what", and the peers of its meshes and fanouts after it.
type guideInstant struct {
	T      int64               `json:"t"`
	Sent   []guideItem         `json:"sent"`
	Dialed []string            `json:"dialed"`
	Mesh   map[string][]string `json:"mesh"`
	Fanout map[string][]string `json:"fanout"`
}
type guideItem [4]string // peer, kind, what, more

func unfold(j any) []string {
	switch v := j.(type) {
	case nil:
		return nil
	case string:
		open := strings.LastIndex(v, "[")
		if open < 0 || !strings.HasSuffix(v, "]") {
			return []string{v}
		}
		a, b, ok := strings.Cut(v[open+1:len(v)-1], "..")
		first, err1 := strconv.Atoi(a)
		last, err2 := strconv.Atoi(b)
		if !ok || err1 != nil || err2 != nil {
			return []string{v}
		}
		var out []string
		for i := first; i <= last; i++ {
			out = append(out, v[:open]+strconv.Itoa(i))
		}
		return out
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, unfold(x)...)
		}
		return out
	}
	panic(fmt.Sprintf("no names: %v", j))
}

// "SeenMsgTTL" is "seen_msg_ttl".
func snake(s string) string {
	var b strings.Builder
	r := []rune(s)
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && (unicode.IsLower(r[i-1]) || (i+1 < len(r) && unicode.IsLower(r[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// Sets the numbers of a struct by name; durations are in ms, with that suffix. Every key must fit.
func setFields(to any, from map[string]float64, name func(string) string) {
	v := reflect.ValueOf(to).Elem()
	used := 0
	for i := 0; i < v.NumField(); i++ {
		f, key := v.Field(i), name(v.Type().Field(i).Name)
		if f.Type() == reflect.TypeOf(time.Duration(0)) {
			key += "_ms"
		}
		x, ok := from[key]
		if !ok {
			continue
		}
		used++
		switch {
		case f.Type() == reflect.TypeOf(time.Duration(0)):
			f.SetInt(int64(x) * int64(time.Millisecond))
		case f.CanInt():
			f.SetInt(int64(x))
		case f.CanUint():
			f.SetUint(uint64(x))
		case f.CanFloat():
			f.SetFloat(x)
		default:
			panic("not a number: " + key)
		}
	}
	if used != len(from) {
		panic(fmt.Sprintf("unknown parameters among %v", from))
	}
}

func numbers(m map[string]any, but ...string) map[string]float64 {
	out := make(map[string]float64)
next:
	for k, v := range m {
		for _, b := range but {
			if k == b {
				continue next
			}
		}
		out[k] = v.(float64)
	}
	return out
}
