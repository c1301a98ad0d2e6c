package sim

import (
	"context"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A hangingMirror lets each n-th answer hang, until the agent has left its worker behind. Then the answer
// comes after all, and the worker goes on with it: nothing of that may have an effect.
type hangingMirror struct {
	mirror
	every, asked int
}

// patience is longer than the agent's.
const patience = 16 * time.Minute

func (h *hangingMirror) hang() {
	if h.asked++; h.asked%h.every != 0 || h.w.calm() && h.w.ran > day {
		return
	}
	h.w.note("the mirror hangs")
	h.w.elapse(patience)
	if !h.w.dead && h.w.agent.Abandon() == nil {
		h.w.late = true
		h.w.noted++
	}
}

func (h *hangingMirror) Metadata(ctx context.Context, name string, n int64) ([]byte, error) {
	h.w.late = false // the task of before has ended
	h.hang()
	return h.mirror.Metadata(ctx, name, n)
}

func (h *hangingMirror) Image(ctx context.Context, q agent.ImageRequest) (agent.ImageBody, error) {
	h.w.late = false
	b, err := h.mirror.Image(ctx, q)
	if err == nil {
		b.ReadCloser = hangingBody{h, b.ReadCloser.(*body)}
	}
	return b, err
}

type hangingBody struct {
	h *hangingMirror
	*body
}

func (b hangingBody) Read(p []byte) (int, error) {
	b.h.hang()
	return b.body.Read(p)
}

// workersHang is a mirror that lets each third, or so, of its answers hang on the first day.
func workersHang(every int) func(t testing.TB) Scenario {
	return func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), equip: func(w *World, p *agent.Ports) {
			p.Repository = &hangingMirror{mirror: mirror{w}, every: every}
		}}
	}
}

// TestWorkersThatHangAreLeftBehind, and what they do when they wake up has no effect (World.step sees to
// that); the update goes on.
func TestWorkersThatHangAreLeftBehind(t *testing.T) {
	for every := 1; every < 10; every++ {
		s := workersHang(every)(t)
		if w, why := play(s, 1, nil); why != "" || w.noted == 0 {
			t.Errorf("each answer number %d hangs: %s; %d workers were abandoned\n%s", every, why, w.noted, w.tail())
		}
	}
}
