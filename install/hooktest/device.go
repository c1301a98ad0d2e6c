// Package hooktest is the contract that every hook keeps, as tests: a device maker runs Contract over a hook of their
// own. It drives the real hook through the real runner, on real files.
package hooktest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/install"
	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

// component is the only component of a test device.
const component = "tested"

// A Device is a provisioned device: the booted slot is primary and good and holds the release "1.0".
type Device struct {
	// Hook is the executable under test, Env its component's environment.
	Hook string
	Env  map[string]string
	// Dir holds everything that the hook writes. The directory that it is in must be writable, too. Cuts models
	// what is durable and needs no real disk: a tmpfs makes it faster.
	Dir string
	// Image makes the image of a release. It is called more than once for a version, and always makes the same
	// bytes then; other versions have others.
	Image func(version string) []byte
	// Boot boots the device once: the bootloader's part, or for an application, one start of its service. It fails
	// the test where nothing can boot.
	Boot func(t *testing.T)
	// Boots is how often a slot on trial boots before the device returns to the primary by itself.
	Boots int
}

// A bench is a device with the runner that drives it.
type bench struct {
	Device
	t        *testing.T
	runner   *install.Runner
	old, new string // the slots: the confirmed one, and the one that the test is about
	// held names the releases of which one must be whole where a slot boots.
	held map[string][]string
}

const (
	versionOld = "1.0"
	versionNew = "1.1"
	// versionOther was installed earlier in some tests.
	versionOther = "1.2"
)

func newBench(t *testing.T, d Device) *bench {
	t.Helper()
	b := &bench{Device: d, t: t}
	b.runner = b.runnerWith(nil)
	s := b.status()
	b.old, b.new = s.Booted, s.Inactive()
	if b.new == "" || s.Primary != b.old || !s.Slots[b.old].Good {
		t.Fatalf("the device is not provisioned: %+v", s)
	}
	b.held = map[string][]string{b.old: {versionOld}}
	return b
}

// runnerWith is a runner with more variables in the hook's environment.
func (b *bench) runnerWith(more map[string]string) *install.Runner {
	env := maps.Clone(b.Env)
	maps.Copy(env, more)
	return install.New(install.Config{
		RunDir:     filepath.Join(b.t.TempDir(), "run"),
		Components: map[string]install.ComponentConfig{component: {Env: env}},
	})
}

func (b *bench) job(slot, version string) agent.Job {
	image := b.Image(version)
	custom, err := release.Info{Version: version}.Custom()
	if err != nil {
		b.t.Fatal(err)
	}
	sum := sha256.Sum256(image)
	return agent.Job{Component: component, Hook: b.Hook, Slot: slot, Attempt: 1, Release: agent.Release{
		Target: verifier.Target{Path: "tested.img", Name: "tested.img", Length: int64(len(image)), SHA256: sum[:], Custom: custom},
	}}
}

func (b *bench) status() agent.Slots {
	b.t.Helper()
	s, err := b.runner.Status(b.t.Context(), agent.Job{Component: component, Hook: b.Hook})
	if err != nil {
		b.t.Fatalf("status: %v", err)
	}
	return s
}

// do runs a verb for the new slot and the new release.
func (b *bench) do(verb agent.Verb) error {
	return b.runner.Do(b.t.Context(), verb, b.job(b.new, versionNew))
}

func (b *bench) mustDo(verbs ...agent.Verb) {
	b.t.Helper()
	for _, verb := range verbs {
		if err := b.do(verb); err != nil {
			b.t.Fatalf("%s: %v", verb, err)
		}
	}
}

func (b *bench) mustInstall(version string) {
	b.t.Helper()
	if err := b.install(b.runner, version, b.Image(version)); err != nil {
		b.t.Fatalf("install: %v", err)
	}
	b.held[b.new] = append(b.held[b.new], version)
}

// mustUpdate confirms a release. Then both slots are good, and the test goes on with the one that is left.
func (b *bench) mustUpdate(version string) {
	b.t.Helper()
	b.mustInstall(version)
	for _, verb := range []agent.Verb{agent.VerbTry, agent.VerbConfirm} {
		if err := b.runner.Do(b.t.Context(), verb, b.job(b.new, version)); err != nil {
			b.t.Fatalf("%s: %v", verb, err)
		}
		b.Boot(b.t)
	}
	b.held[b.new] = []string{version}
	b.old, b.new = b.new, b.old
}

// install writes a release to the new slot. given is what the staged file holds when the hook gets it.
func (b *bench) install(r *install.Runner, version string, given []byte) error {
	j := b.job(b.new, version)
	check := j.Release.Target.Check()
	if _, err := check.Write(b.Image(version)); err != nil {
		b.t.Fatal(err)
	}
	v, err := check.Done()
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.t.TempDir(), "image")
	if err := os.WriteFile(path, given, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return r.Install(b.t.Context(), j, v, staged{bytes.NewReader(given), path})
}

// installByHand runs the hook's install with what there is of an image, as it looks to a hook whose agent died.
func (b *bench) installByHand(given []byte) error {
	j := b.job(b.new, versionNew)
	path := filepath.Join(b.t.TempDir(), "image")
	if err := os.WriteFile(path, given, 0o600); err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.CommandContext(b.t.Context(), b.Hook, "install", b.new)
	cmd.Env = append(os.Environ(), "OTA_COMPONENT="+component, "OTA_SLOT="+b.new, "OTA_INPUT="+path,
		"OTA_VERSION="+versionNew, "OTA_SHA256="+j.Release.ID(), "OTA_SHA512=", "OTA_ATTEMPT=1", "OTA_CUSTOM=",
		"OTA_TARGET="+j.Release.Target.Path, fmt.Sprintf("OTA_LENGTH=%d", j.Release.Target.Length))
	for name, value := range b.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdin = bytes.NewReader(given)
	return cmd.Run()
}

// A staged image.
type staged struct {
	*bytes.Reader
	path string
}

func (s staged) Path() string { return s.path }
func (s staged) Close() error { return nil }

// wantStatus compares what matters of a status.
func (b *bench) wantStatus(when, booted, primary string, newGood bool) {
	b.t.Helper()
	s := b.status()
	got := fmt.Sprintf("booted=%s primary=%s state.%s good=%v", s.Booted, s.Primary, b.new, s.Slots[b.new].Good)
	want := fmt.Sprintf("booted=%s primary=%s state.%s good=%v", booted, primary, b.new, newGood)
	if got != want {
		b.t.Errorf("%s: seen %s, expected %s", when, got, want)
	}
}

// wantHonest checks that the slot is not called good while it holds something torn.
func (b *bench) wantHonest(when string) {
	b.t.Helper()
	if b.status().Slots[b.new].Good {
		b.wantHeld(when+": the good slot", b.new)
	}
}

// wantWhole checks that the booted slot holds the whole of a release that was installed there: nothing torn ever boots.
func (b *bench) wantWhole(when string) {
	b.t.Helper()
	b.wantHeld(when+": the booted slot", b.status().Booted)
}

func (b *bench) wantHeld(what, slot string) {
	b.t.Helper()
	err := errors.New("nothing was ever installed there")
	for _, version := range slices.Backward(b.held[slot]) {
		if err = b.runner.Do(b.t.Context(), agent.VerbVerify, b.job(slot, version)); err == nil {
			return
		}
	}
	b.t.Errorf("%s %s is not whole: %v", what, slot, err)
}
