package storage

import (
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// TestAClosedStoreFailsAndDoesNotPanic: the process does not wait for a worker that hangs, so the worker may
// touch the store after it was closed.
func TestAClosedStoreFailsAndDoesNotPanic(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	target := verifier.Target{Path: "x", Name: "x", Length: 10, SHA256: make([]byte, 32)}
	images := s.Images()
	part, err := images.Partial(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	late := target
	late.SHA256 = append([]byte{1}, make([]byte, 31)...)
	for name, act := range map[string]func() error{
		"Load":     func() error { _, err := s.Load(); return err },
		"Document": func() error { _, err := s.Document(verifier.Key{Role: verifier.Timestamp}); return err },
		"Commit":   func() error { return s.Commit(agent.Change{Time: &agent.TimeFloor{Accrued: 1}}) },
		"Partial":  func() error { _, err := images.Partial(late); return err },
		"Open":     func() error { _, err := images.Open(target); return err },
		"Keep":     func() error { return images.Keep(nil) },
		"Flush":    func() error { part.Write([]byte("x")); return part.Flush() },
	} {
		if err := act(); err == nil && name != "Flush" { // the partial file is open: what flushes it is the agent's fence
			t.Errorf("%s succeeds after Close", name)
		}
	}
	_ = s.Counters()
	_ = part.Close()
}
