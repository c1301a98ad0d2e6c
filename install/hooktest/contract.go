package hooktest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// Contract tests a hook against all that docs/hooks.md demands. newDevice makes a fresh device each time.
func Contract(t *testing.T, newDevice func(t *testing.T) Device) {
	for name, test := range map[string]func(*bench){
		"update":        testUpdate,
		"reject":        testReject,
		"one-shot":      testOneShot,
		"repetition":    testRepetition,
		"torn install":  testTornInstall,
		"empty slot":    testEmptySlot,
		"foreign slots": testForeignSlots,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newBench(t, newDevice(t)))
		})
	}
}

// The way of a good release.
func testUpdate(b *bench) {
	b.wantWhole("provisioned")
	b.mustInstall(versionNew)
	b.wantStatus("installed", b.old, b.old, false)
	installed := b.status().Slots[b.new]
	want := b.job("", versionNew).Release.ID()
	if installed.SHA256 != "" && installed.SHA256 != want || installed.Version != "" && installed.Version != versionNew {
		b.t.Errorf("the slot is said to hold version %q with hash %q, expected %q with %q",
			installed.Version, installed.SHA256, versionNew, want)
	}
	b.Boot(b.t)
	b.wantStatus("installed and booted: nothing was tried yet", b.old, b.old, false)
	b.mustDo(agent.VerbVerify, agent.VerbTry)
	b.Boot(b.t)
	b.wantStatus("on trial", b.new, b.old, false)
	b.mustDo(agent.VerbHealth, agent.VerbConfirm)
	b.wantStatus("confirmed", b.new, b.new, true)
	for range b.Boots + 1 {
		b.Boot(b.t)
		b.wantStatus("confirmed and booted", b.new, b.new, true)
	}
	b.wantWhole("confirmed")
}

// The way of a bad one.
func testReject(b *bench) {
	b.mustInstall(versionNew)
	b.mustDo(agent.VerbVerify, agent.VerbTry)
	b.Boot(b.t)
	b.mustDo(agent.VerbReject)
	if s := b.status(); s.Primary != b.old || s.Slots[b.new].Good {
		b.t.Errorf("rejected: %+v", s)
	}
	b.Boot(b.t)
	b.wantStatus("rejected and booted", b.old, b.old, false)
	b.wantWhole("rejected")

	// A try that is taken back before it boots.
	b.mustInstall(versionNew)
	b.mustDo(agent.VerbTry, agent.VerbReject)
	b.Boot(b.t)
	b.wantStatus("rejected before it booted", b.old, b.old, false)
}

// Nobody confirms: the device returns by itself.
func testOneShot(b *bench) {
	b.mustInstall(versionNew)
	b.mustDo(agent.VerbTry)
	for range b.Boots {
		b.Boot(b.t)
		b.wantStatus("on trial", b.new, b.old, false)
	}
	b.Boot(b.t)
	b.wantStatus("nobody confirmed", b.old, b.old, false)
	b.wantWhole("back by itself")
}

// The agent may die after a verb and before it knows: it runs the verb again.
func testRepetition(b *bench) {
	twice := func(name string, run func()) {
		b.t.Helper()
		run()
		once := b.status()
		run()
		if again := b.status(); !reflect.DeepEqual(again, once) {
			b.t.Errorf("%s: after one time %+v, after two times %+v", name, once, again)
		}
	}
	verb := func(v agent.Verb) { twice(string(v), func() { b.mustDo(v) }) }
	twice("install", func() { b.mustInstall(versionNew) })
	verb(agent.VerbVerify)
	verb(agent.VerbTry)
	b.Boot(b.t)
	verb(agent.VerbTry) // when it already runs
	verb(agent.VerbHealth)
	verb(agent.VerbConfirm)
	b.Boot(b.t)
	b.wantStatus("confirmed", b.new, b.new, true)
	verb(agent.VerbReject)
	b.Boot(b.t)
	b.wantStatus("rejected", b.old, b.old, false)
	verb(agent.VerbReject)
}

// An image that ends early leaves nothing that can be tried, whatever the slot held before. The runner never lets a
// hook see such an end, but its own death does.
func testTornInstall(b *bench) {
	for _, before := range []string{"nothing", "a release"} {
		if before == "a release" {
			b.mustUpdate(versionOther)
		}
		image := b.Image(versionNew)
		b.held[b.new] = append(b.held[b.new], versionNew)
		died := b.installByHand(image[:len(image)/2])
		if died == nil {
			b.t.Fatalf("half an image over %s, the agent died: installed", before)
		}
		b.tryTorn("half an image over " + before + ", the agent died")

		withheld := b.install(b.runner, versionNew, image[:len(image)/2])
		if withheld == nil {
			b.t.Fatalf("half an image over %s, the end was withheld: installed", before)
		}
		b.tryTorn("half an image over " + before + ", the end was withheld")
	}
}

// tryTorn tries a slot that must not boot, and goes back.
func (b *bench) tryTorn(when string) {
	b.t.Helper()
	b.wantHonest(when)
	_ = b.do(agent.VerbTry) // may be refused, or may not; what counts is what boots
	b.Boot(b.t)
	b.wantWhole(when + ", then tried")
	b.mustDo(agent.VerbReject)
	b.Boot(b.t)
}

// The verify of a slot without a release says so by another hash: it does not fail, since the agent then would not
// know to write the slot again.
func testEmptySlot(b *bench) {
	var p *agent.Problem
	if err := b.do(agent.VerbVerify); !errors.As(err, &p) || p.Reason != agent.ReasonHashMismatch {
		b.t.Errorf("verify of a slot that holds nothing, or something else: %v", err)
	}
	if err := b.do(agent.VerbConfirm); err == nil {
		b.t.Error("a slot was confirmed that does not run")
	}
	b.wantStatus("after both", b.old, b.old, false)
}

// A slot that is not there is never made.
func testForeignSlots(b *bench) {
	before := b.status()
	for _, slot := range []string{"", "../x", "C", "-f", "A B", "."} {
		for _, verb := range []agent.Verb{agent.VerbVerify, agent.VerbTry, agent.VerbConfirm, agent.VerbReject} {
			if err := b.runner.Do(b.t.Context(), verb, b.job(slot, versionNew)); err == nil {
				b.t.Errorf("%s of slot %q succeeded", verb, slot)
			}
		}
	}
	if after := b.status(); !reflect.DeepEqual(before, after) {
		b.t.Errorf("before %+v, after %+v", before, after)
	}
}
