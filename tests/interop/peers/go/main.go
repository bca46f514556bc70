// msub-go-peer is one go-libp2p-pubsub node driven by the peer control protocol: JSON lines on
// stdin and stdout. Interop tests and benchmarks run it as the reference peer.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// output serialises replies and events: one JSON object a line, flushed at once.
type output struct {
	mu  sync.Mutex
	enc *json.Encoder
	buf *bufio.Writer
}

func newOutput(w io.Writer) *output {
	buf := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	return &output{enc: enc, buf: buf}
}

type object = map[string]any

func (o *output) write(v object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.enc.Encode(v)
	if err == nil {
		err = o.buf.Flush()
	}
	if err != nil { // the harness is gone
		os.Exit(1)
	}
}

func (o *output) event(name string, fields object) {
	v := object{"ev": name}
	for k, f := range fields {
		v[k] = f
	}
	o.write(v)
}

func (o *output) fail(err error) { o.event("error", object{"error": err.Error()}) }

func versions() string {
	text := runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "github.com/libp2p/go-libp2p":
				text += " go-libp2p " + dep.Version
			case "github.com/libp2p/go-libp2p-pubsub":
				text += " go-libp2p-pubsub " + dep.Version
			}
		}
	}
	return text
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "read-trace" {
		if err := readTrace(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "read-trace:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "collect-trace" {
		if err := collectTrace(); err != nil {
			fmt.Fprintln(os.Stderr, "collect-trace:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "--params" {
		if err := runExperiment(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	out := newOutput(os.Stdout)
	out.event("hello", object{
		"proto": 1, "impl": "go", "version": versions(),
		"caps": []string{"interop", "nodes", "partial", "profile", "score", "trace"},
	})
	d := &driver{out: out}
	in := bufio.NewReaderSize(os.Stdin, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			if d.handle(line) {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "stdin:", err)
			os.Exit(1)
		}
	}
}
