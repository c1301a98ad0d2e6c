package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

func TestTargetPath(t *testing.T) {
	c := Component{Name: "rootfs", Target: "{hardware}/{channel}/{group}/{device}/{component}.img"}
	d := Device{ID: "d1", Hardware: "board", Group: "g", Channel: "stable"}
	if got, want := c.TargetPath(d), "board/stable/g/d1/rootfs.img"; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

func TestJudge(t *testing.T) {
	device := Device{ID: "d1", Hardware: "board-a"}
	for name, c := range map[string]struct {
		custom string
		floor  int64
		want   Reason
	}{
		"no custom object":                    {"", 0, ""},
		"for this hardware":                   {`{"ota":{"hardware":["board-a","board-b"]}}`, 0, ""},
		"for other hardware":                  {`{"ota":{"hardware":["board-b"]}}`, 0, ReasonWrongHardware},
		"index above the floor":               {`{"ota":{"rollback_index":6}}`, 5, ""},
		"index at the floor":                  {`{"ota":{"rollback_index":5}}`, 5, ""},
		"index below the floor":               {`{"ota":{"rollback_index":4}}`, 5, ReasonIndexTooLow},
		"no index, and a floor":               {`{"ota":{}}`, 5, ReasonIndexTooLow},
		"no custom object, and a floor":       {"", 5, ReasonIndexTooLow},
		"an ota object that is not one":       {`{"ota":7}`, 0, ReasonMalformed},
		"an index that is not a whole number": {`{"ota":{"rollback_index":1.5}}`, 0, ReasonMalformed},
	} {
		var custom []byte
		if c.custom != "" {
			custom = []byte(c.custom)
		}
		found := verifier.Found{Target: verifier.Target{Path: "p", SHA256: make([]byte, 32), Custom: custom}}
		o := judge(found, device, c.floor)
		var got Reason
		if o.Problem != nil {
			got = o.Problem.Reason
		}
		if got != c.want {
			t.Errorf("%s: reason %q, expected %q (%v)", name, got, c.want, o.Problem)
		}
	}
}

// TestIndexFloor: what a device confirmed and what its image ships each count for as long as their keys do.
func TestIndexFloor(t *testing.T) {
	good, revoked := verifier.KeyHash{1}, verifier.KeyHash{2}
	holds := func(f verifier.Floor) bool { return len(f.Signers) > 0 && f.Signers[0] == good }
	floor := func(version int64, by verifier.KeyHash) verifier.Floor {
		return verifier.Floor{Version: version, Signers: []verifier.KeyHash{by}}
	}
	for name, c := range map[string]struct {
		confirmed, demanded verifier.Floor
		want                int64
	}{
		"none":                         {verifier.Floor{}, verifier.Floor{}, 0},
		"confirmed":                    {floor(5, good), verifier.Floor{}, 5},
		"confirmed, its keys revoked":  {floor(5, revoked), verifier.Floor{}, 0},
		"demanded":                     {verifier.Floor{}, floor(6, good), 6},
		"demanded, its keys revoked":   {floor(5, good), floor(6, revoked), 5},
		"confirmed above the demanded": {floor(7, good), floor(6, good), 7},
		"only the lower one counts":    {floor(7, revoked), floor(6, good), 6},
	} {
		if got := indexFloor(holds, c.confirmed, c.demanded); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestRaiseIndexRaisesOnlyThisComponent(t *testing.T) {
	f := verifier.Floors{Index: map[string]verifier.Floor{"app": {Version: 9}}}
	r := &Release{Target: verifier.Target{Custom: []byte(`{"ota":{"rollback_index":5}}`)}}
	raised, ok := raiseIndex(f, "rootfs", r)
	if !ok || raised.Index["rootfs"].Version != 5 || raised.Index["app"].Version != 9 {
		t.Errorf("raised %v: %+v", ok, raised.Index)
	}
	if len(f.Index) != 1 {
		t.Error("the floors that were passed in have changed")
	}
	if _, ok := raiseIndex(raised, "rootfs", r); ok {
		t.Error("the same index was raised again: that would be a write")
	}
}

func TestRolloutGate(t *testing.T) {
	start := testNow
	r := &release.Rollout{Start: start, Duration: 10 * time.Hour}
	joined := map[int]int{}
	for i := range 1000 {
		id := fmt.Sprint("device-", i)
		for _, hour := range []int{-1, 0, 5, 10} {
			now := start.Add(time.Duration(hour) * time.Hour)
			if rolloutGate(r, id, "release", now, now) == nil {
				joined[hour]++
			}
		}
	}
	if joined[-1] != 0 || joined[0] > 5 || joined[5] < 400 || joined[5] > 600 || joined[10] != 1000 {
		t.Errorf("devices that joined, by hour: %v", joined)
	}
}

// TestAReplayCannotFinishARampThatWasStopped: the mirror replays the timestamp of before the stop; by it no device
// may join later than a twentieth of the ramp, and that the ramp would have come to its end meanwhile changes nothing.
func TestAReplayCannotFinishARampThatWasStopped(t *testing.T) {
	r := &release.Rollout{Start: testNow, Duration: 20 * time.Hour}
	stopped := testNow.Add(5 * time.Hour)
	for i := range 1000 {
		id := fmt.Sprint("device-", i)
		for now := stopped.Add(61 * time.Minute); now.Before(testNow.Add(60 * time.Hour)); now = now.Add(time.Hour) {
			if rolloutGate(r, id, "release", now, stopped) == nil {
				t.Fatalf("%s joined at %s with a timestamp signed at %s", id, now, stopped)
			}
		}
		if w := rolloutGate(r, id, "release", testNow.AddDate(1, 0, 0), r.Start.Add(r.Duration)); w != nil {
			t.Fatalf("%s does not join although the rollout came to its end: %s", id, w.Text)
		}
	}
}

// A timestamp that does not say when it was signed is new as long as refreshes succeed: its own expiry is judged by them. Before
// the first of this process, and after one that was refused, it vouches for nothing.
func TestRolloutOfARepositoryThatSignsNoTime(t *testing.T) {
	r := &release.Rollout{Start: testNow.Add(-40 * time.Hour), Duration: 20 * time.Hour}
	signed := testNow.Add(-time.Hour)
	for name, c := range map[string]struct {
		e     engine
		joins bool
	}{
		"no refresh yet":                  {engine{lastBegan: -1, last: &refreshed{}}, false},
		"a refresh":                       {engine{last: &refreshed{}}, true},
		"a refresh, then one that failed": {engine{last: &refreshed{}, lastProblem: &Problem{Reason: ReasonExpired}}, false},
		"a signed time, then one that failed": {engine{last: &refreshed{signedAt: signed},
			lastProblem: &Problem{Reason: ReasonExpired}}, true},
		"an old signed time": {engine{last: &refreshed{signedAt: signed.Add(-40 * time.Hour)}}, false},
	} {
		w := rolloutGate(r, "device-1", "release", testNow, c.e.signedAt(testNow))
		if (w == nil) != c.joins {
			t.Errorf("%s: %+v, want joins: %t", name, w, c.joins)
		}
	}
}

func TestRequiresGate(t *testing.T) {
	app := Record{Component: "app", Confirmed: &Release{Target: verifier.Target{Custom: []byte(`{"ota":{"rollback_index":3}}`)}}}
	records := map[string]Record{"app": app}
	if w := requiresGate([]release.Requirement{{Component: "app", RollbackIndex: 3}}, records); w != nil {
		t.Errorf("closed though it is met: %s", w.Text)
	}
	for _, q := range []release.Requirement{{Component: "app", RollbackIndex: 4}, {Component: "missing", RollbackIndex: 0}} {
		if w := requiresGate([]release.Requirement{q}, records); w == nil || w.Reason != ReasonRequires {
			t.Errorf("open though %+v is not met", q)
		}
	}
}
