package agent

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// TestMemoryIsCollectedForWhatCame: a forced collection costs a small device its CPU for a while. What a file
// may be long is no reason for one, only what really came is: a poll that finds nothing new costs none.
func TestMemoryIsCollectedForWhatCame(t *testing.T) {
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	w, before := &worker{}, forced()
	w.hands(largeBytes)
	w.collect()
	if n := forced() - before; n != 0 {
		t.Errorf("%d collections after small documents, want none", n)
	}
	w.hands(1)
	w.collect()
	w.collect()
	if n := forced() - before; n != 1 {
		t.Errorf("%d collections after more than %d bytes, want one", n, largeBytes)
	}
}

// TestAStatusListsItsComponents: a device whose config names no component shows an empty list, which is what
// the schema says, and not null.
func TestAStatusListsItsComponents(t *testing.T) {
	a := (&bareDevice{}).start(t)
	b, err := json.Marshal(a.Status())
	if err != nil || !strings.Contains(string(b), `"components":[]`) {
		t.Errorf("got %s (%v), want an empty list of components", b, err)
	}
}
