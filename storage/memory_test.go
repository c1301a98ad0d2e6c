package storage

import (
	"io"
	"runtime"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// allocated is how many bytes f allocates: never less than what it holds at any time.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// A large document is in memory once while it is kept, kept again and read, and not at all while it is handed on.
func TestALargeDocumentIsHeldOnce(t *testing.T) {
	const length, slack = 8 << 20, 1 << 20
	s, err := Open(fastDir(t), Options{})
	must(t, err)
	defer s.Close()
	key := verifier.Key{Role: verifier.Targets}
	put := func(first byte) agent.Change {
		b := make([]byte, length)
		b[0] = first
		return agent.Change{Metadata: verifier.Change{Put: []verifier.Document{{Key: key, Bytes: b}}}}
	}
	for name, c := range map[string]struct {
		most int64
		do   func(agent.Change) error
	}{
		"kept": {slack, s.Commit},
		"kept again under another name": {slack, func(c agent.Change) error {
			must(t, s.Commit(c))
			c.Metadata.Put[0].Key.Role = "again"
			return s.Commit(c)
		}},
		"read": {length + slack, func(c agent.Change) error {
			must(t, s.Commit(c))
			_, err := s.Document(key)
			return err
		}},
		"handed on": {slack, func(c agent.Change) error {
			must(t, s.Commit(c))
			f, n, err := s.DocumentFile(key)
			if err != nil {
				return err
			}
			defer f.Close()
			got, err := io.Copy(io.Discard, f)
			if n != length || got != length {
				t.Errorf("%d bytes came of a file of %d, want %d", got, n, length)
			}
			return err
		}},
	} {
		change := put(byte(len(name)))
		if got := allocated(func() { must(t, c.do(change)) }); got > c.most {
			t.Errorf("%s: %d bytes allocated for a document of %d, at most %d are in order", name, got, length, c.most)
		}
	}
}
