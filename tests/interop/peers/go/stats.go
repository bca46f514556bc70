package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func (d *driver) stats(line []byte) (object, error) {
	var q struct {
		GC bool `json:"gc"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	if q.GC {
		debug.FreeOSMemory()
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return nil, err
	}
	user, sys := usage.Utime.Nano()/1000, usage.Stime.Nano()/1000
	rss, hwm, err := memory()
	if err != nil {
		return nil, err
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	received := uint64(0)
	if d.node != nil {
		received = d.node.counter.received()
	}
	return object{
		"cpu_us": user + sys, "user_us": user, "sys_us": sys, "rss": rss, "hwm": hwm, "heap": mem.HeapAlloc, "recv": received,
	}, nil
}

func memory() (rss, hwm int64, err error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			rss = kib << 10
		case "VmHWM:":
			hwm = kib << 10
		}
	}
	return rss, hwm, lines.Err()
}

var profileFile *os.File

func profile(line []byte) error {
	var q struct {
		On   bool   `json:"on"`
		Path string `json:"path"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return err
	}
	if !q.On {
		if profileFile == nil {
			return errors.New("no profile is running")
		}
		pprof.StopCPUProfile()
		err := profileFile.Close()
		profileFile = nil
		return err
	}
	if profileFile != nil {
		return errors.New("a profile is running")
	}
	f, err := os.Create(q.Path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return err
	}
	profileFile = f
	return nil
}
