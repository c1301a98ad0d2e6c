package agent

import (
	"testing"
	"time"
)

var built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestEffectiveTimeIsNeverBelowTheFloor(t *testing.T) {
	floor := built.Add(100 * 24 * time.Hour)
	for name, c := range map[string]struct {
		clock               time.Time
		synchronised, noRTC bool
		want                time.Time
		source              string
	}{
		"a clock that says 1970":                            {time.Unix(0, 0), false, false, floor, sourceFloor},
		"a clock that was set back, and calls that right":   {floor.Add(-time.Hour), true, false, floor, sourceFloor},
		"a clock that goes on":                              {floor.Add(time.Hour), false, false, floor.Add(time.Hour), sourceClock},
		"no RTC, and nothing has set the clock":             {floor.Add(time.Hour), false, true, floor, sourceFloor},
		"no RTC, and the kernel calls it synchronised":      {floor.Add(time.Hour), true, true, floor.Add(time.Hour), sourceClock},
		"network time spoofed by 80 days, never remembered": {floor.Add(80 * 24 * time.Hour), true, false, floor.Add(80 * 24 * time.Hour), sourceClock},
	} {
		if got, source := effective(c.clock, c.synchronised, c.noRTC, floor); !got.Equal(c.want) || source != c.source {
			t.Errorf("%s: %s from %s, expected %s from %s", name, got, source, c.want, c.source)
		}
	}
}

func TestTimeFloorGrowsByUptimeOnly(t *testing.T) {
	var f TimeFloor
	if got := f.at(built, "boot-1", time.Hour); !got.Equal(built) {
		t.Errorf("a device that never saw a timestamp is at %s, expected its build time %s", got, built)
	}
	signed := built.Add(24 * time.Hour)
	f, ok := f.learn(signed, "boot-1", time.Hour)
	if !ok {
		t.Fatal("a newer signed time was no news")
	}
	if _, ok := f.learn(signed, "boot-1", 2*time.Hour); ok {
		t.Error("the same signed time was news again: that would be a write at each poll")
	}
	if got, want := f.at(built, "boot-1", 3*time.Hour), signed.Add(2*time.Hour); !got.Equal(want) {
		t.Errorf("two hours after it was learned the floor is %s, expected %s", got, want)
	}
	if got, want := f.at(built, "boot-2", 5*time.Hour), signed.Add(5*time.Hour); !got.Equal(want) {
		t.Errorf("five hours into the next boot the floor is %s, expected %s", got, want)
	}
}

// TestDeadClockUnderAFreeze: a device whose RTC is dead and that reboots each day must still see a frozen timestamp
// expire: what each boot was up for adds up, at most one write a day.
func TestDeadClockUnderAFreeze(t *testing.T) {
	f, _ := TimeFloor{}.learn(built, "boot-0", 0)
	writes := 0
	for day := 1; day <= 30; day++ {
		boot := string(rune('a' + day))
		for up := time.Duration(0); up <= 25*time.Hour; up += time.Hour {
			if next, ok := f.accrue(boot, up); ok {
				f, writes = next, writes+1
			}
		}
	}
	if got := f.at(built, "last", 0); got.Before(built.Add(28*24*time.Hour)) || got.After(built.Add(32*24*time.Hour)) {
		t.Errorf("after thirty days in boots of 25 hours the floor is %s", got)
	}
	if writes > 31 {
		t.Errorf("%d writes in thirty days, expected at most one a day", writes)
	}
}

// TestAgeIsNotCountedTwice: a restart of the process in the same boot must not count the boot's uptime again, or the
// device would lock itself out of good metadata.
func TestAgeIsNotCountedTwice(t *testing.T) {
	f, _ := TimeFloor{}.learn(built, "boot-1", 0)
	f, ok := f.accrue("boot-1", 30*time.Hour)
	if !ok {
		t.Fatal("thirty hours were not worth a write")
	}
	if got, want := f.at(built, "boot-1", 31*time.Hour), built.Add(31*time.Hour); !got.Equal(want) {
		t.Errorf("the floor is %s, expected %s", got, want)
	}
}
