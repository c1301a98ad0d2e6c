package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestPowerCutsAnywhere cuts the power at random moments of three updates. The board must boot every time, and each
// update must end confirmed once the power stays on. agent/sim cuts at every single step instead; this one has the
// real binary, hooks and files.
func TestPowerCutsAnywhere(t *testing.T) {
	if os.Getenv("OTA_DEMO") != "1" {
		t.Skip("it takes a minute; run it with OTA_DEMO=1")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, err := os.MkdirTemp("", "cuts") // t.TempDir's paths are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	self := filepath.Join(dir, "ota-sim")
	if err := goBuild(t.Context(), "../..", self, "./cmd/ota-sim", ""); err != nil {
		t.Fatal(err)
	}
	built, err := build(t.Context(), dir, demoOptions{Self: self})
	if err != nil {
		t.Fatal(err)
	}
	quiet := &show{out: t.Output()}
	s := &story{show: quiet, checks: &checks{show: quiet}}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.open(t.Context(), dir, built, seed); err != nil {
		t.Fatal(err)
	}
	for version := 2; version <= 4; version++ {
		cutUpdate(t, s, random, fmt.Sprint(version))
	}
}

const (
	// cutsPerUpdate power cuts hit one update.
	cutsPerUpdate = 12
	// cutWithin is the longest that the power stays on meanwhile.
	cutWithin = 1500 * time.Millisecond
)

func cutUpdate(t *testing.T, s *story, random *rand.Rand, version string) {
	t.Helper()
	if _, err := s.publisher.system(version, healthySystem, 4<<20); err != nil {
		t.Fatal(err)
	}
	s.mirror.behave(conduct{ImageRate: 4 << 20})
	for range cutsPerUpdate {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = s.check(ctx, "a check that may be cut off") }()
		time.Sleep(time.Duration(random.Int64N(int64(cutWithin))))
		err := s.board.cutPower()
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.board.powerOn(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.check(t.Context(), "the check after the power cuts"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.await(t.Context(), "waiting for system "+version, func(st agent.Status) bool {
		c := component(st, system)
		return c.Phase == agent.Idle && c.Running.Version == version && c.Primary == c.Booted
	}); err != nil {
		t.Fatal(err)
	}
	if last := s.lastBoot(); last.System.Version != version {
		t.Errorf("the board runs system %s, want %s", last.System.Version, version)
	}
}
