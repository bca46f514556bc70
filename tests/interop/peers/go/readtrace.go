package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-msgio/pbio"
)

// readTrace reads a trace file with the decoders of go-libp2p-pubsub and prints each event as its JSON tracer
// would. Anything behind ".gz" is compressed; ".json" holds lines of the JSON tracer, everything else delimited records.
func readTrace(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var in io.Reader = bufio.NewReader(f)
	if name, found := strings.CutSuffix(path, ".gz"); found {
		path = name
		if in, err = gzip.NewReader(in); err != nil {
			return err
		}
	}
	buf := bufio.NewWriter(os.Stdout)
	defer buf.Flush()
	out := json.NewEncoder(buf)
	next := pbio.NewDelimitedReader(in, 16<<20).ReadMsg
	lines := json.NewDecoder(in)
	for {
		var evt pb.TraceEvent
		if strings.HasSuffix(path, ".json") {
			err = lines.Decode(&evt)
		} else {
			err = next(&evt)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(evt.ProtoReflect().GetUnknown()) > 0 {
			return fmt.Errorf("%s: an event with unknown fields: %v", path, &evt)
		}
		if err = out.Encode(&evt); err != nil {
			return err
		}
	}
}
