package install

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

const (
	// progressKey begins the lines by which a hook says how far it has come, in percent.
	progressKey = "progress="
	// progressLineMax is the longest such line: "progress=100\r\n".
	progressLineMax = len(progressKey) + 3 + 2
)

// A run is what runs for a component.
type run struct {
	verb    agent.Verb
	process *process
}

// follow notes what runs for a component until ended is called.
func (r *Runner) follow(component string, verb agent.Verb, p *process) (ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	this := &run{verb, p}
	r.running[component] = this
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.running[component] == this {
			delete(r.running, component)
		}
	}
}

// Running is what runs for a component right now.
func (r *Runner) Running(component string) (agent.HookRun, bool) {
	r.mu.Lock()
	this := r.running[component]
	r.mu.Unlock()
	if this == nil {
		return agent.HookRun{}, false
	}
	return agent.HookRun{Verb: this.verb, Elapsed: time.Since(this.process.begun), Limit: this.process.command.timeout,
		Percent: int(this.process.progress.percent.Load())}, true
}

// A progressReader takes a hook's standard output and keeps the lines "progress=NN" to itself: they are
// neither an answer nor words for people. It holds back no more than one such line.
type progressReader struct {
	next    *capture
	percent atomic.Int32 // -1: not said
	held    []byte       // the beginning of a line that may be one of progress
	inLine  bool         // the line that is being read is none
}

func (r *progressReader) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, whole := rest, false
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, whole = rest[:i+1], true
		}
		rest = rest[len(line):]
		r.take(line, whole)
	}
	return len(p), nil
}

// take takes a piece of a line; whole: it ends there.
func (r *progressReader) take(piece []byte, whole bool) {
	if r.inLine {
		_, _ = r.next.Write(piece)
		r.inLine = !whole
		return
	}
	if len(r.held)+len(piece) <= progressLineMax {
		r.held = append(r.held, piece...)
		if percent, ok := parseProgress(r.held); whole && ok {
			r.percent.Store(int32(percent))
			r.held = r.held[:0]
			return
		}
		if !whole && mayBeProgress(r.held) {
			return
		}
		piece = nil
	}
	r.end()
	_, _ = r.next.Write(piece)
	r.inLine = !whole
}

// end passes on what is held back.
func (r *progressReader) end() {
	_, _ = r.next.Write(r.held)
	r.held = r.held[:0]
}

// mayBeProgress says whether a line that begins like this can still become one of progress.
func mayBeProgress(begin []byte) bool {
	n := min(len(begin), len(progressKey))
	return string(begin[:n]) == progressKey[:n]
}

// parseProgress reads "progress=NN", 0 to 100, with its line end.
func parseProgress(line []byte) (percent int, ok bool) {
	digits, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte(progressKey))
	if !ok || len(digits) == 0 || digits[0] == '+' || digits[0] == '-' {
		return 0, false
	}
	percent, err := strconv.Atoi(string(digits))
	return percent, err == nil && percent <= 100
}
