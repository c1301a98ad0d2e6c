package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what waits for the reader of the log.
const (
	// logLinesMax and logBytesMax are a burst of some seconds: an update writes some dozens of lines.
	logLinesMax = 1024
	logBytesMax = 256 << 10
	// logLineMax is the longest line, in bytes; the rest is cut off. The longest problem's text has 1 KiB.
	logLineMax = 4 << 10
)

// A logQueue hands lines to a writer that may block for ever or fail. Write never waits: what finds no room is dropped
// and counted, and the next line that is written says how many were.
type logQueue struct {
	w io.Writer

	mu      sync.Mutex
	lines   [][]byte
	bytes   int
	lost    int  // lines, since the last one that was written
	closed  bool // by drain
	more    chan struct{}
	drained chan struct{} // closed when the last line is written after closed
}

func newLogQueue(w io.Writer) *logQueue {
	q := &logQueue{w: w, more: make(chan struct{}, 1), drained: make(chan struct{})}
	go q.run()
	return q
}

// Write takes a line. It never fails: there is nobody to tell.
func (q *logQueue) Write(p []byte) (int, error) {
	line := string(p)
	if len(line) > logLineMax {
		line = strings.ToValidUTF8(line[:logLineMax], "") + "…\n"
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.lines) == logLinesMax || q.bytes+len(line) > logBytesMax {
		q.lost++
		return len(p), nil
	}
	q.lines, q.bytes = append(q.lines, []byte(line)), q.bytes+len(line)
	select {
	case q.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

// run writes the lines until drain is called. It may hang in a write for ever: nobody waits for it longer
// than drain does.
func (q *logQueue) run() {
	defer close(q.drained)
	for range q.more {
		for line, lost := q.next(); line != nil; line, lost = q.next() {
			if lost > 0 {
				line = slices.Concat(lostLine(lost), line)
			}
			if _, err := q.w.Write(line); err != nil {
				q.mu.Lock()
				q.lost += lost + 1
				q.mu.Unlock()
			}
		}
	}
}

// next takes the first line, and how many were lost; nil where none waits.
func (q *logQueue) next() (line []byte, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		q.lines = nil
		return nil, 0
	}
	line = q.lines[0]
	q.lines, q.bytes = q.lines[1:], q.bytes-len(line)
	lost, q.lost = q.lost, 0
	return line, lost
}

// drain takes no more lines, and waits until those that wait are written, for wait at most.
func (q *logQueue) drain(wait time.Duration) {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.more)
	}
	q.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-q.drained:
	case <-timer.C:
	}
}

func lostLine(lines int) []byte {
	return fmt.Appendf(nil, "time=%s level=WARN msg=\"log lines were lost: their reader was too slow, or gone\" lines=%d\n",
		time.Now().Format(time.RFC3339Nano), lines)
}
