package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// How a release behaves, by the first word of its image.
const (
	fine         = "fine"               // boots, healthy
	slowStart    = "fine-but-slow"      // healthy some minutes after its boot; until then it can't tell
	unhealthy    = "unhealthy"          // boots, but its health check says no
	neverStarts  = "never-starts"       // hangs before the agent starts
	breaksUplink = "breaks-uplink"      // boots, healthy, but reaches no repository
	demanding    = "demanding"          // boots, healthy, but the floors that it ships refuse the repository
	tornHook     = "torn-hook"          // boots, but every verb of its hook fails
	losesState   = "loses-state"        // boots, healthy, but does not mount the partition with the state
	forgetful    = "fine-but-forgetful" // likewise, and its publisher wants it kept all the same
	crashesLater = "crashes-later"      // boots, healthy, and takes the board down before that has held for long enough
	fineOnce     = "fine-once"          // fine, until another release was confirmed: that one has changed what both share
)

// boardVariable is what a hook must find in its environment: the component whose slots it knows.
const boardVariable = "BOARD"

// startTime is how long after a boot a slow release is still starting.
const startTime = 3 * time.Minute

// A board is a component's two slots and its boot environment, with a try that is good for some boots. A component that
// needs no reboot has the same, and its booted slot is the one that is switched to.
type board struct {
	w         *World
	component string
	slots     map[string]*slot
	primary   string
	try       string
	left      int // boots for which the try is still good
	booted    string
	provenIn  int // the boot in which a health check of what is booted last passed
	confirmed bool
	outdone   bool // a release was confirmed that is no fineOnce
	starts    int  // of a release on trial, as a launcher counts them
}

type slot struct {
	good  bool
	image []byte
}

func newBoard(w *World, component string, provisioned []byte) *board {
	return &board{w: w, component: component, primary: "A", booted: "A", confirmed: !w.unconfirmed,
		slots: map[string]*slot{"A": {good: !w.unconfirmed, image: provisioned}, "B": {}}}
}

func (b *board) reboots() bool { return b.component == rootfs }

// boot is the bootloader: a try is counted down before it is followed. What needs no reboot goes back at one.
func (b *board) boot() {
	b.booted = b.primary
	if b.try != "" && b.reboots() {
		b.booted = b.try
		b.left--
	}
	if b.left <= 0 || !b.reboots() {
		b.try = ""
	}
}

func (b *board) behaves(how string) bool {
	return bytes.HasPrefix(b.slots[b.booted].image, []byte(how))
}

// fallBack is a bootloader that gives up a confirmed slot by itself, at the next boot.
func (b *board) fallBack() { b.primary, b.try = other(b.primary), "" }

func hash(image []byte) string {
	sum := sha256.Sum256(image)
	return hex.EncodeToString(sum[:])
}

func other(slot string) string {
	if slot == "A" {
		return "B"
	}
	return "A"
}

// hooks are the installers of all components.
type hooks struct{ w *World }

// Running implements agent.Installer: no hook of the simulation takes time.
func (h hooks) Running(string) (agent.HookRun, bool) { return agent.HookRun{}, false }

// A tiring installer counts what the agent asks of the hooks, whatever these make of it: each verb but the
// looks wears something.
type tiring struct {
	agent.Installer
	w *World
}

// Install implements agent.Installer.
func (t tiring) Install(ctx context.Context, j agent.Job, v verifier.Verified, image agent.Image) error {
	t.w.checkEffort(j.Component + " install")
	return t.Installer.Install(ctx, j, v, image)
}

// Do implements agent.Installer.
func (t tiring) Do(ctx context.Context, verb agent.Verb, j agent.Job) error {
	if verb == agent.VerbTry || verb == agent.VerbConfirm || verb == agent.VerbReject {
		t.w.checkEffort(j.Component + " " + string(verb))
	}
	if verb == agent.VerbReject {
		t.w.rejects[j.Component]++
	}
	return t.Installer.Do(ctx, verb, j)
}

// call is what happens at the beginning of any verb.
func (h hooks) call(j agent.Job) (*board, error) {
	if h.w.dead {
		return nil, errDead
	}
	b := h.w.boards[j.Component]
	if j.Env[boardVariable] != j.Component {
		return nil, &agent.Problem{Reason: agent.ReasonHookFailed, Text: "the hook's environment does not say where its slots are"}
	}
	if b.behaves(tornHook) {
		return nil, &agent.Problem{Reason: agent.ReasonHookFailed, Text: "the hook fails with exit status 1"}
	}
	return b, nil
}

// Status implements agent.Installer.
func (h hooks) Status(_ context.Context, j agent.Job) (agent.Slots, error) {
	b, err := h.call(j)
	if err != nil {
		return agent.Slots{}, err
	}
	s := agent.Slots{Booted: b.booted, Primary: b.primary, Slots: map[string]agent.Slot{}}
	for name, x := range b.slots {
		s.Slots[name] = agent.Slot{Good: x.good, SHA256: h.w.repo.hashOf(x.image)}
	}
	return s, nil
}

// Install implements agent.Installer: the slot is unbootable before it is torn, and torn before it is whole.
func (h hooks) Install(_ context.Context, j agent.Job, v verifier.Verified, image agent.Image) error {
	b, err := h.call(j)
	if err != nil {
		return err
	}
	h.w.checkOrder(j, agent.Writing)
	if j.Slot == b.booted {
		h.w.breach("%s: slot %s is booted and was to be written", j.Component, j.Slot)
	}
	if !v.OK() {
		h.w.breach("%s: an image that was not verified was to be installed", j.Component)
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
		if err := h.w.step(j.Component+" slot "+j.Slot+": "+part.name, func() error { part.effect(); return nil }); err != nil {
			return err
		}
	}
	return nil
}

// Do implements agent.Installer: every verb is one atomic write of the boot environment.
func (h hooks) Do(_ context.Context, verb agent.Verb, j agent.Job) error {
	b, err := h.call(j)
	if err != nil {
		return err
	}
	if effect := b.effect(verb, j); effect != nil {
		return h.w.step(fmt.Sprintf("%s %s %s", j.Component, verb, j.Slot), effect)
	}
	return fmt.Errorf("unknown verb %s", verb)
}

func (b *board) effect(verb agent.Verb, j agent.Job) func() error {
	s := b.slots[j.Slot]
	switch verb {
	case agent.VerbVerify:
		return func() error {
			if hash(s.image) != j.Release.SHA256() {
				return &agent.Problem{Reason: agent.ReasonHashMismatch, Text: "the slot holds another image"}
			}
			return nil
		}
	case agent.VerbHealth:
		return b.health
	case agent.VerbTry:
		b.w.checkTry(j)
		return func() error {
			b.try, b.left = j.Slot, b.w.tries
			if !b.reboots() {
				b.booted = j.Slot
			}
			b.restartsAgent(j.Component, "try")
			return nil
		}
	case agent.VerbConfirm:
		b.w.checkConfirm(b, j)
		return func() error {
			b.primary, s.good, b.try, b.confirmed = j.Slot, true, "", true
			b.outdone = b.outdone || !b.behaves(fineOnce)
			return nil
		}
	case agent.VerbReject:
		b.w.checkOrder(j, agent.Rejecting)
		return func() error {
			s.good, b.try, b.primary = false, "", other(j.Slot)
			if !b.reboots() {
				b.booted = b.primary
			}
			b.restartsAgent(j.Component, "reject")
			return nil
		}
	}
	return nil
}

func (b *board) health() error {
	if b.behaves(unhealthy) || b.behaves(fineOnce) && b.outdone {
		return &agent.Problem{Reason: agent.ReasonUnhealthy, Text: "the service answers 500"}
	}
	if b.behaves(slowStart) && b.w.uptime < startTime {
		return &agent.Problem{Reason: agent.ReasonHookBusy, Text: "the service is starting"}
	}
	b.provenIn = b.w.boots
	return nil
}
