package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	// dateTimeout bounds the wait for date.
	dateTimeout = time.Minute
	// secondsMax is the last second of the year 9999, the last that metadata can name (TUF 4.3).
	secondsMax = 253_402_300_799
)

// clock asks date for the time. The suite shifts time by faketime, which works by the C library and so is not seen
// by a static Go program; it is seen by date. Whoever runs this command chooses date by PATH: that's the point.
func clock(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, dateTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "date", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("ask date for the time: %w", err)
	}
	return readSeconds(string(out))
}

// readSeconds reads what date +%s prints: seconds since 1970 in decimal, and a line feed.
func readSeconds(s string) (time.Time, error) {
	seconds, err := strconv.ParseUint(strings.TrimSuffix(s, "\n"), 10, 63)
	if err != nil || seconds > secondsMax {
		return time.Time{}, fmt.Errorf("ask date for the time: it prints %.40q, want seconds since 1970", s)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}
