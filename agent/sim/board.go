package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// How a release behaves, by the first word of its image.
const (
	fine         = "fine"          // boots, healthy
	unhealthy    = "unhealthy"     // boots, but its health check says no
	neverStarts  = "never-starts"  // hangs before the agent starts
	breaksUplink = "breaks-uplink" // boots, healthy, but reaches no repository
)

// A board has two slots and a boot environment with a try that is good for one boot. It is the hook, too.
type board struct {
	w         *World
	slots     map[string]*slot
	primary   string
	try       string
	booted    string
	rebooting bool
}

type slot struct {
	good  bool
	image []byte
}

func newBoard(w *World, provisioned []byte) *board {
	return &board{w: w, primary: "A", booted: "A", slots: map[string]*slot{
		"A": {good: true, image: provisioned}, "B": {},
	}}
}

// boot is the bootloader: a try is taken back before it is followed.
func (b *board) boot() {
	b.rebooting = false
	b.booted = b.primary
	if b.try != "" {
		b.booted, b.try = b.try, ""
	}
}

func (b *board) behaves(how string) bool {
	return bytes.HasPrefix(b.slots[b.booted].image, []byte(how))
}

func (b *board) agentNeverStarts() bool { return b.behaves(neverStarts) }

// Status implements agent.Installer.
func (b *board) Status(context.Context, agent.Job) (agent.Slots, error) {
	if b.w.dead {
		return agent.Slots{}, errDead
	}
	s := agent.Slots{Booted: b.booted, Primary: b.primary, Slots: map[string]agent.Slot{}}
	for name, x := range b.slots {
		s.Slots[name] = agent.Slot{Good: x.good, SHA256: hash(x.image)}
	}
	return s, nil
}

func hash(image []byte) string {
	sum := sha256.Sum256(image)
	return hex.EncodeToString(sum[:])
}

// Install implements agent.Installer: the slot is unbootable before it is torn, and torn before it is whole.
func (b *board) Install(_ context.Context, j agent.Job, v verifier.Verified, image agent.Image) error {
	if j.Slot == b.booted {
		b.w.breach("slot %s is booted and was to be written", j.Slot)
	}
	if !v.OK() {
		b.w.breach("an image that was not verified was to be installed")
	}
	if _, err := image.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(image)
	if err != nil {
		return err
	}
	if sum := v.SHA256(); hash(data) != hex.EncodeToString(sum[:]) {
		return &agent.Problem{Reason: agent.ReasonHashMismatch, Text: "not the verified image"}
	}
	s := b.slots[j.Slot]
	for _, part := range []struct {
		name   string
		effect func()
	}{
		{"make unbootable", func() { s.good = false; b.try = "" }},
		{"begin to write", func() { s.image = []byte("torn") }},
		{"write", func() { s.image = slices.Clone(data) }},
	} {
		if err := b.w.step("slot "+j.Slot+": "+part.name, func() error { part.effect(); return nil }); err != nil {
			return err
		}
	}
	return nil
}

// Do implements agent.Installer.
func (b *board) Do(_ context.Context, verb agent.Verb, j agent.Job) error {
	s := b.slots[j.Slot]
	switch verb {
	case agent.VerbVerify:
		return b.w.step("verify", func() error {
			if hash(s.image) != j.Release.SHA256() {
				return &agent.Problem{Reason: agent.ReasonHashMismatch, Text: "the slot holds another image"}
			}
			return nil
		})
	case agent.VerbHealth:
		return b.w.step("health", func() error {
			if b.behaves(unhealthy) {
				return &agent.Problem{Reason: agent.ReasonUnhealthy, Text: "the service answers 500"}
			}
			return nil
		})
	case agent.VerbTry:
		return b.w.step("try "+j.Slot, func() error { b.try = j.Slot; return nil })
	case agent.VerbConfirm:
		return b.w.step("confirm "+j.Slot, func() error { b.primary, s.good = j.Slot, true; return nil })
	case agent.VerbReject:
		return b.w.step("reject "+j.Slot, func() error { s.good, b.try, b.primary = false, "", other(j.Slot); return nil })
	}
	return fmt.Errorf("unknown verb %s", verb)
}

func other(slot string) string {
	if slot == "A" {
		return "B"
	}
	return "A"
}
