package agent

import (
	"sync"

	"github.com/ota-agent/ota-agent/verifier"
)

// A refresh in a trial with a newer anchor keeps nothing, and there are some of them, and one after the trial
// that keeps what it accepts. What the first one fetched and accepted is handed to the others from memory,
// instead of from the network: a targets file may have many megabytes. All of it is verified again each time,
// so nothing is trusted for having been here.

// provisionalBytesMax bounds what is held: the default limit of a targets file. More than that is fetched again.
const provisionalBytesMax = 24 << 20

// provisional files are held by their names. Names that hold no version may mean other bytes the next time,
// so their files are not held.
type provisional struct {
	mu    sync.Mutex
	files map[string][]byte
	bytes int
}

func (p *provisional) get(name string) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.files[name]
	return b, ok
}

func (p *provisional) hold(name string, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.files[name]; ok || p.bytes+len(b) > provisionalBytesMax {
		return
	}
	if p.files == nil {
		p.files = map[string][]byte{}
	}
	p.files[name] = b
	p.bytes += len(b)
}

// clear lets all go: it is kept now, or something did not verify.
func (p *provisional) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files, p.bytes = nil, 0
}

// held is what answers a request to the repository from memory, if anything does.
func (k *keeper) held(q verifier.Request) ([]byte, bool) {
	if q.Source == verifier.Stored || !versioned(q) {
		return nil, false
	}
	if b, ok := k.e.provisional.get(q.Name); ok && int64(len(b)) <= q.BytesMax {
		return b, true
	}
	k.name = q.Name
	return nil, false
}

// refused reports whether anything did not verify.
func (r *refreshed) refused() bool {
	for _, p := range r.unfound {
		if refused(p) {
			return true
		}
	}
	return r.problem != nil && refused(r.problem)
}

// versioned reports whether a file's name holds its version, so that it never means other bytes. The chain of
// roots is always asked for.
func versioned(q verifier.Request) bool {
	return q.Key.Role != verifier.Root && q.Key.Role != verifier.Timestamp && q.Name != verifier.FileName(q.Key.Role, 0)
}

// hold holds what was accepted and is not kept.
func (k *keeper) hold(c verifier.Change) {
	for _, d := range c.Put {
		if d.Key.Kind == verifier.Metadata && k.name != "" && d.Key.Role != verifier.Root && d.Key.Role != verifier.Timestamp {
			k.e.provisional.hold(k.name, d.Bytes)
		}
	}
	k.name = ""
}
