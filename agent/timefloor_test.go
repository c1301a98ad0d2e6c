package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// signedRefresh is a repository whose timestamp says a time, and a device's finished refresh of it.
func signedRefresh(t *testing.T) (*tuftest.Client, *verifier.Refresh, time.Time) {
	t.Helper()
	repo := tuftest.New()
	at := tuftest.Start().Add(30 * time.Second)
	repo.Timestamp.Edit = func(signed tuftest.Object) { signed["signed_at"] = at.Format(time.RFC3339) }
	client := tuftest.NewClient(repo)
	return client, refreshAgain(t, client), at
}

func refreshAgain(t *testing.T, c *tuftest.Client) *verifier.Refresh {
	t.Helper()
	r, err := c.Refresh()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTimeFloorIsVoidWithItsKeys: what a stolen timestamp key said of the time counts until root revokes the key, and
// not a poll longer; whatever is made of the floor meanwhile keeps it bound to that key.
func TestTimeFloorIsVoidWithItsKeys(t *testing.T) {
	client, r, at := signedRefresh(t)
	f, _ := TimeFloor{}.learn(at.AddDate(3, 0, 0), r.SignedBy(), "boot-1", 0)
	f, ok := f.accrue("boot-1", 24*time.Hour)
	if !ok || !slices.Equal(f.Signers, r.SignedBy()) {
		t.Fatalf("the floor that grew is signed by %x, expected %x", f.Signers, r.SignedBy())
	}
	if got, changed := f.judge(r); changed || !got.SignedAt.Equal(f.SignedAt) {
		t.Errorf("the floor is %+v while its keys hold, expected %+v", got, f)
	}
	client.Repo.Rotate(verifier.Timestamp, "not stolen")
	client.Repo.PublishRoot()
	got, changed := f.judge(refreshAgain(t, client))
	if !changed || !got.SignedAt.IsZero() || got.Accrued != 0 {
		t.Errorf("the floor is %+v after its keys were revoked, expected none", got)
	}
}

// TestOtherKeysDoNotTakeOverWhatOneMadeOfTheTime: of two keys that each suffice one is stolen. What is
// learned from the other must not keep alive what the thief said.
func TestOtherKeysDoNotTakeOverWhatOneMadeOfTheTime(t *testing.T) {
	_, r, at := signedRefresh(t)
	stolen := []verifier.KeyHash{{7}}
	f, _ := TimeFloor{}.learn(at.AddDate(0, 0, 10), stolen, "boot-1", 0)
	f, _ = f.learn(at.AddDate(0, 0, 15), r.SignedBy(), "boot-1", 15*24*time.Hour) // it is the 25th by the thief's word
	if got, changed := f.judge(r); !changed || got.at(at, "boot-1", 0).After(at.AddDate(0, 0, 15)) {
		t.Errorf("the floor is %+v after the stolen key was revoked", got)
	}
}

// TestTimeFloorOfAnOlderAgent: it kept no signers. If the stored timestamp says the same time they are known;
// if nothing vouches for it any more, it is void.
func TestTimeFloorOfAnOlderAgent(t *testing.T) {
	_, r, at := signedRefresh(t)
	old := TimeFloor{SignedAt: at, Accrued: 48 * time.Hour, BootID: "boot-1", At: time.Hour}
	got, changed := old.judge(r)
	if !changed || !slices.Equal(got.Signers, r.SignedBy()) || got.Accrued != old.Accrued || !got.SignedAt.Equal(at) {
		t.Errorf("the floor is %+v, expected the old one with its signers", got)
	}
	if again, changed := got.judge(r); changed {
		t.Errorf("changed again: %+v; that would be a write at each poll", again)
	}
	old.SignedAt = at.AddDate(3, 0, 0)
	if got, changed := old.judge(r); !changed || !got.SignedAt.IsZero() {
		t.Errorf("a floor that nobody vouches for is %+v, expected none", got)
	}
	if got, changed := (TimeFloor{}).judge(r); changed {
		t.Errorf("no floor became %+v", got)
	}
}

// TestCertificatesAreJudgedByASynchronisedClock: a floor that was driven ahead must not make every certificate look
// expired, for the root that makes it void comes over TLS.
func TestCertificatesAreJudgedByASynchronisedClock(t *testing.T) {
	clock, floor := built.Add(time.Hour), built.AddDate(1, 0, 0)
	effectiveNow, _ := effective(clock, true, false, floor)
	if got := certificateTime(clock, true, effectiveNow); !got.Equal(clock) {
		t.Errorf("%s, expected the clock's %s", got, clock)
	}
	if got := certificateTime(clock, false, effectiveNow); !got.Equal(floor) {
		t.Errorf("%s by a clock that nobody vouches for, expected the floor's %s", got, floor)
	}
}

// When a certificate begins is judged by a clock that stands at or above the floor, and by nothing else.
func TestNothingButAClockSaysNotYet(t *testing.T) {
	floor := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name                string
		clock               time.Time
		synchronised, noRTC bool
		counts              bool
	}{
		{"a synchronised clock", floor.Add(time.Hour), true, false, true},
		{"at the floor", floor, true, false, true},
		{"a synchronised clock below the floor", floor.Add(-time.Hour), true, false, false},
		{"a battery's clock", floor.Add(time.Hour), false, false, true},
		{"a battery's clock that has stopped", floor.Add(-time.Hour), false, false, false},
		{"no battery", floor.Add(time.Hour), false, true, false},
		{"no battery, and synchronised", floor.Add(time.Hour), true, true, true},
	} {
		if got := clockCounts(tt.clock, tt.synchronised, tt.noRTC, floor); got != tt.counts {
			t.Errorf("%s: counts %v, want %v", tt.name, got, tt.counts)
		}
	}
}
