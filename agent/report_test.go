package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A refresh that is stopped early takes nothing from the trusted roles that the document shows.
func TestAnOutageHidesNoTrustedRole(t *testing.T) {
	v := newVendored()
	e := v.engine(t)
	v.refresh(t, e)
	before := e.status().Repository.Roles
	v.down = []bool{true}
	v.refresh(t, e)
	if got := e.status().Repository.Roles; len(before) != 4 || !slices.Equal(got, before) {
		t.Errorf("the document shows %+v, and showed %+v before the outage", got, before)
	}
	root := []verifier.RoleInfo{{Role: verifier.Root, Version: 2}}
	if got := withOlder(root, []verifier.RoleInfo{{Role: verifier.Root, Version: 1}, {Role: verifier.Targets, Version: 7}}); len(got) != 1 {
		t.Errorf("under another root: %+v", got)
	}
}

// A laterDevice is one whose next process begins later in the same boot.
type laterDevice struct {
	*bareDevice
	up time.Duration
}

func (d *laterDevice) Uptime() time.Duration { return d.up }

// The documents of two processes of one boot never look like each other, and say which is later. No start
// writes for that.
func TestDocumentsOfABootAreOrdered(t *testing.T) {
	d := &laterDevice{bareDevice: &bareDevice{slots: &Slots{}}, up: time.Hour}
	type name struct {
		boot    string
		started int64
		seq     uint64
	}
	seen := map[name]bool{}
	last := name{}
	for range 3 {
		a := d.start(t, "rootfs")
		a.engine.p.System = d
		e, err := newEngine(a.engine.cfg, a.engine.p, a.log)
		if err != nil {
			t.Fatal(err)
		}
		a.engine = e
		for range 2 {
			a.publish()
			s := a.Status()
			n := name{s.BootID, s.Started, s.Seq}
			if seen[n] && n != last {
				t.Errorf("%+v came twice", n)
			}
			if n.started < last.started || n.started == last.started && n.seq < last.seq {
				t.Errorf("%+v came after %+v", n, last)
			}
			seen[n], last = true, n
			e.checks++ // news
		}
		d.up += time.Millisecond
	}
	if len(seen) != 6 {
		t.Errorf("%d documents of 6 have a name of their own", len(seen))
	}
	if d.state.Records != nil {
		t.Error("a start wrote")
	}
}

// TestCutTrialsOfAnotherRelease: what was counted of a release that is neither on offer nor under way any
// more is remembered, and is no problem of the device: it stood in the status for good.
func TestCutTrialsOfAnotherRelease(t *testing.T) {
	for _, c := range []struct {
		name string
		of   *Release // under way
		on   Offer
		told bool
	}{
		{"before the first answer", nil, Offer{}, true},
		{"on offer", nil, Offer{Known: true, Release: releaseV2}, true},
		{"another one on offer", nil, Offer{Known: true, Release: releaseV3}, false},
		{"nothing on offer", nil, Offer{Known: true}, false},
		{"under way", releaseV2, Offer{}, true},
		{"another one under way", releaseV3, Offer{Known: true, Release: releaseV2}, false},
	} {
		r := Record{Schema: RecordSchema, Component: "rootfs", Phase: Idle, Cuts: Cuts{ID: releaseV2.ID(), Count: 2, Against: 1}}
		if r.Release = c.of; c.of != nil {
			r.Phase = Staged
		}
		e := (&bareDevice{state: State{Records: map[string]Record{"rootfs": r}}}).start(t, "rootfs").engine
		e.live[0].offer = c.on
		if p := e.componentStatus(e.live[0]).Problem; (p != nil) != c.told {
			t.Errorf("%s: %v", c.name, p)
		}
	}
}
