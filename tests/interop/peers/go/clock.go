package main

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// The stamps must be comparable between processes, so they are CLOCK_MONOTONIC. Go's own monotonic
// reading is the same clock without its origin, and cheaper to read than the system call.
var (
	clockStart  = time.Now()
	clockOrigin = clockMonotonic()
)

func clockMonotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

func now() int64 { return clockOrigin + int64(time.Since(clockStart)) }

// sleepUntil sleeps with the kernel's timer: Go's own has a grain of a millisecond.
func sleepUntil(due int64) error {
	ts := unix.NsecToTimespec(due)
	for {
		err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
