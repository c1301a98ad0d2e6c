package agent

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// What a person reads of each situation. Only the first one means that there is nothing to do.
func TestConditions(t *testing.T) {
	refused := &Problem{Reason: ReasonWrongHardware, Text: "for other hardware"}
	out := &Problem{Reason: ReasonUnreachable, Text: "no route"}
	deaf := &Problem{Reason: ReasonHookFailed, Text: "exit 1"}
	none := Offer{Known: true, Missing: &Missing{Path: "a/b", Roles: []string{"targets"}}, Problem: &Problem{Reason: ReasonNotListed, Text: "lists none"}}
	named := Offer{Known: true, Release: releaseV2}
	good := &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	bad := &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {}, "B": {}}}
	wait := func(r Reason) *Waiting { return &Waiting{Reason: r, Text: "it waits", Left: 7} }
	for _, tt := range []struct {
		name   string
		s      standing
		code   ConditionCode
		reason Reason
	}{
		{"runs what is named", standing{offer: named, slots: good, runs: true}, ConditionCurrent, ""},
		{"the same while the hook is asked again", standing{offer: named, slots: good, runs: true, running: Observe}, ConditionCurrent, ""},
		{"names nothing", standing{offer: none, slots: good, waiting: wait(ReasonNotListed)}, ConditionUnlisted, ReasonNotListed},
		{"names nothing, and the hook fails", standing{offer: none, blind: deaf, waiting: wait(ReasonHookFailed)}, ConditionUnlisted, ReasonNotListed},
		{"before the first check", standing{slots: good}, ConditionUnasked, ""},
		{"before the first check, while the hook's status hangs", standing{running: Observe}, ConditionUnasked, ""},
		{"while the first check runs", standing{slots: good, asking: true}, ConditionUnasked, ""},
		{"an outage", standing{failing: out, slots: good}, ConditionUnanswered, ReasonUnreachable},
		{"an outage since it ran what was named", standing{failing: out, offer: named, slots: good, runs: true}, ConditionUnanswered, ReasonUnreachable},
		{"its vendor's role can't be had", standing{failing: out, slots: good, waiting: wait(ReasonUnreachable)}, ConditionUnanswered, ReasonUnreachable},
		{"gone from the config", standing{offer: named, slots: good, runs: true}, ConditionUnanswered, ReasonWithdrawn},
		{"rejected", standing{offer: named, slots: good, waiting: wait(ReasonRejected)}, ConditionWaiting, ReasonRejected},
		{"rejected, in an outage", standing{failing: out, offer: named, slots: good, waiting: wait(ReasonRejected)}, ConditionWaiting, ReasonRejected},
		{"paused", standing{offer: named, slots: good, waiting: wait(ReasonPaused)}, ConditionWaiting, ReasonPaused},
		{"for other hardware", standing{offer: Offer{Known: true, Release: releaseV2, Problem: refused}, slots: good, waiting: wait(ReasonWrongHardware)},
			ConditionWaiting, ReasonWrongHardware},
		{"runs what is refused now", standing{offer: Offer{Known: true, Release: releaseV2, Problem: refused}, slots: good, runs: true},
			ConditionWaiting, ReasonWrongHardware},
		{"named, while the hook's status hangs", standing{offer: named, running: Observe}, ConditionWorking, ""},
		{"named, and the hook's status hangs after it failed", standing{offer: named, running: Observe, blind: deaf}, ConditionWorking, ""},
		{"named, and the hook's status fails", standing{offer: named, blind: deaf, waiting: wait(ReasonHookFailed)}, ConditionWaiting, ReasonHookFailed},
		{"runs it in a slot that is not good", standing{offer: named, slots: bad, runs: true}, ConditionWaiting, ReasonSlot},
		{"just found", standing{offer: named, slots: good}, ConditionWorking, ""},
		{"finding out whether the old release reaches it", standing{slots: good, waiting: wait(ReasonTrialNoRepo)}, ConditionWorking, ReasonTrialNoRepo},
		{"downloading", standing{phase: Fetching, offer: named, running: Fetch}, ConditionWorking, ""},
		{"a download that waits", standing{phase: Fetching, offer: named, waiting: wait(ReasonCut)}, ConditionWaiting, ReasonCut},
		{"at a gate", standing{phase: Staged, offer: named, waiting: wait(ReasonWindow)}, ConditionWaiting, ReasonWindow},
		{"at a gate whose hook is asked", standing{phase: Staged, running: Ask, waiting: wait(ReasonGateHook)}, ConditionWaiting, ReasonGateHook},
		{"looking", standing{phase: Staged, waiting: wait(ReasonLooking)}, ConditionWorking, ReasonLooking},
		{"asking before try", standing{phase: Switched, waiting: wait(ReasonRefreshFirst)}, ConditionWorking, ReasonRefreshFirst},
		{"asking before try in vain", standing{phase: Switched, waiting: wait(ReasonRefreshFirst), failing: out}, ConditionWaiting, ReasonUnreachable},
		{"writing", standing{phase: Writing, running: Install}, ConditionWorking, ""},
		{"rebooting", standing{phase: Switched, waiting: wait(ReasonRebooting)}, ConditionWorking, ReasonRebooting},
		{"on trial", standing{phase: Trial, waiting: wait(ReasonTrial)}, ConditionWorking, ReasonTrial},
		{"on trial, while its health is checked", standing{phase: Trial, running: Examine, waiting: wait(ReasonTrial)}, ConditionWorking, ReasonTrial},
		{"the first check of a trial", standing{phase: Trial, running: Examine}, ConditionWorking, ""},
		{"between two steps", standing{phase: Confirming}, ConditionWorking, ""},
		{"a phase of a newer agent", standing{phase: "from-the-future", running: "dance"}, ConditionWorking, ""},
	} {
		tt.s.named = tt.reason != ReasonWithdrawn
		if tt.s.phase == "" {
			tt.s.phase = Idle
		}
		if got := conditionOf(tt.s); got.Code != tt.code || got.Reason != tt.reason || got.Text == "" {
			t.Errorf("%s: got %+v, want %s (%s)", tt.name, got, tt.code, tt.reason)
		}
	}
}

// What runs is told with its time, its limit and how far it says it is; only the last of these is news.
func TestWorkIsToldWithItsTimeAndLimit(t *testing.T) {
	s := standing{phase: Writing, named: true, running: Install, elapsed: 3 * time.Second,
		hook: &HookRun{Verb: "install", Elapsed: 90 * time.Second, Limit: time.Hour, Percent: 45}}
	c := conditionOf(s)
	if c.Code != ConditionWorking || c.Elapsed != 90 || c.Limit != 3600 || c.Percent == nil || *c.Percent != 45 {
		t.Errorf("got %+v", c)
	}
	s.hook.Percent = -1
	if c := conditionOf(s); c.Percent != nil {
		t.Errorf("a hook that says nothing has come to %d %%", *c.Percent)
	}
	s.hook = nil
	if c := conditionOf(s); c.Elapsed != 3 || c.Limit != 0 {
		t.Errorf("got %+v", c)
	}
	if c := conditionOf(standing{phase: Idle, named: true, offer: Offer{Known: true, Release: releaseV2}, running: Observe, elapsed: 7 * time.Second}); c.Elapsed != 7 {
		t.Errorf("a hook whose status hangs: got %+v", c)
	}
	document := func(c Condition) Status { return Status{Components: []ComponentStatus{{Condition: &c}}} }
	if !sameNews(document(Condition{Elapsed: 1, Left: 5}), document(Condition{Elapsed: 2, Left: 4})) {
		t.Error("time that goes by is news")
	}
	if sameNews(document(Condition{Percent: new(1)}), document(Condition{Percent: new(2)})) {
		t.Error("that a hook has come further is no news")
	}
}

// Whatever is observed, the machine's own wait is what the condition is made of: it never says that nothing
// is to be done where something is.
func TestNoConditionHidesWhatIsWrong(t *testing.T) {
	codes := map[ConditionCode]int{}
	failing := &Problem{Reason: ReasonExpired, Text: "expired"}
	world(func(r Record, f Facts) {
		a := Next(r, f)
		s := standing{phase: r.Phase, named: true, waiting: a.Waiting, offer: f.Offer, slots: f.Slots, blind: f.Blind,
			runs: f.Offer.Release != nil && f.runs(&r, f.Offer.Release)}
		if f.Failing {
			s.failing = failing
		}
		if a.Kind != Wait && !a.Pure() {
			s.running = a.Kind
		}
		c := conditionOf(s)
		codes[c.Code]++
		good := f.Slots != nil && f.Slots.Primary == f.Slots.Booted && f.Slots.Slots[f.Slots.Booted].Good
		if c.Code == ConditionCurrent && (r.Phase != Idle || f.Failing || !s.runs || f.Offer.Problem != nil || !good || a.Waiting != nil) {
			t.Fatalf("%+v\n%+v\n%+v: says that nothing is to be done", r, f, a)
		}
		if c.Code == ConditionWaiting && c.Reason == "" {
			t.Fatalf("%+v\n%+v\n%+v: says %+v", r, f, a, c)
		}
	})
	for _, code := range []ConditionCode{ConditionCurrent, ConditionUnlisted, ConditionUnasked, ConditionUnanswered, ConditionWaiting, ConditionWorking} {
		if codes[code] == 0 {
			t.Errorf("the world has no component that is %s: has %v", code, codes)
		}
	}
}

// A wrong channel is told in the status once a check has come to its end, with the path that was meant, and
// once in the journal, however often the repository is asked and the agent is started. So is that it is
// listed again.
func TestAPathThatIsNotListedIsToldOnce(t *testing.T) {
	v := newVendored()
	v.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	v.repo.Targets().Targets = map[string]any{}
	v.repo.Targets().Add("rootfz", []byte("system"))
	v.repo.Publish(verifier.Targets)
	var told []EventKind
	var problem *Problem
	v.committed = func(c Change) {
		for _, e := range c.Events {
			if e.Component == "rootfs" {
				told = append(told, e.Kind)
				problem = e.Problem
			}
		}
	}
	advance := func(e *engine) Condition {
		v.refresh(t, e)
		for range 5 { // the hook's status among it
			tasks, err := e.advance()
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range tasks {
				if task.action.Kind == Observe {
					if err := e.finish(task, task.run(t.Context())); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		return *e.status().Components[0].Condition
	}
	e := v.engine(t)
	if c := *e.status().Components[0].Condition; c.Code != ConditionUnasked {
		t.Errorf("before the first check: %+v", c)
	}
	for i := range 3 {
		got := advance(e)
		if got.Code != ConditionUnlisted || got.Path != "rootfs" || got.Nearest != "rootfz" || !slices.Equal(got.Roles, []string{"targets"}) {
			t.Fatalf("the document says %+v", got)
		}
		if !strings.Contains(got.Text, "rootfz") {
			t.Errorf("the text %q does not say what is listed", got.Text)
		}
		if s := e.status(); i == 0 && (s.Journal == "" || s.LastEvent == 0) { // this device keeps no journal for the next process
			t.Errorf("the document names event %d of journal %q", s.LastEvent, s.Journal)
		}
		if w := e.status().Components[0].Waiting; w == nil || w.Reason != ReasonNotListed {
			t.Errorf("it waits for %+v", w)
		}
		e = v.engine(t)
	}
	if !slices.Equal(told, []EventKind{EventUnlisted}) || problem == nil || problem.Reason != ReasonNotListed {
		t.Fatalf("told %v, the last for %+v", told, problem)
	}
	v.repo.Targets().Add("rootfs", []byte("system"))
	v.repo.Publish(verifier.Targets)
	advance(e)
	if want := []EventKind{EventUnlisted, EventRelisted}; len(told) < 2 || !slices.Equal(told[:2], want) {
		t.Errorf("told %v, want %v first", told, want)
	}
}

// A path that targets alone does not list is not searched for anew while nothing changed: with a wrong
// config, too, a poll reads no large file. One that a delegated role does not list is, since that role may
// have expired meanwhile.
func TestAnUnlistedPathIsNotSearchedAtEachPoll(t *testing.T) {
	v := newVendored()
	delete(v.repo.Roles["vendor"].Targets, "app")
	v.repo.Publish(verifier.Targets, "vendor")
	e := v.engine(t)
	for path, want := range map[string]bool{"rootfz": true, "app": false} {
		paths := map[string]string{"rootfs": path}
		first := e.refresh(t.Context(), paths, &refreshed{}, false)
		if o := first.offers["rootfs"]; !o.Known || o.Missing == nil {
			t.Fatalf("%s: got %+v, problem %+v", path, o, first.problem)
		}
		if got := first.answers(e.refresh(t.Context(), paths, &refreshed{}, false)); got != want {
			t.Errorf("%s: what was found answers the next poll: %t, want %t", path, got, want)
		}
	}
}

// What others list is shown without control characters and cut; what is not like the path is no hint.
func TestMissingShowsHostileNamesCut(t *testing.T) {
	u := verifier.Unlisted{Path: "board/stable/rootfs.img", Roles: []string{"targets", "\x1b[2J" + strings.Repeat("r", 1000)},
		Near: []verifier.Listed{{Path: "x", Role: "a"}, {Path: "board/stable/root\nfs.img", Role: "a\x00"}}}
	want := &Missing{Path: u.Path, Roles: []string{"targets", "?[2J" + strings.Repeat("r", shownBytesMax-4)}, Nearest: "board/stable/root?fs.img", Role: "a?"}
	if got := missing(u); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	u.Near = u.Near[:1]
	if got := missing(u); got.Nearest != "" {
		t.Errorf("%q is no hint for %s", got.Nearest, u.Path)
	}
}

// A look at the surroundings goes by without a word: what the component waited for stays in the document
// meanwhile. What it waited for before another release was on offer does not.
func TestAnotherOfferEndsTheOldWait(t *testing.T) {
	refused := &Problem{Reason: ReasonWrongHardware}
	v := newVendored()
	e := v.engine(t)
	c := e.component("rootfs")
	v.refresh(t, e)
	same := c.offer
	for name, before := range map[string]Offer{
		"another release":             {Known: true, Release: releaseV2},
		"none":                        {Known: true, Missing: &Missing{}, Problem: refused},
		"the same, which was refused": {Known: true, Release: same.Release, Problem: refused},
		"the same":                    same,
	} {
		c.offer, c.waiting = before, &Waiting{Reason: ReasonRollout}
		v.refresh(t, e)
		if (c.waiting != nil) != (name == "the same") {
			t.Errorf("%s was on offer before, and now the component waits for %+v", name, c.waiting)
		}
	}
}
