package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

var built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var publisher = []verifier.KeyHash{{1}}

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
	f, ok := f.learn(signed, publisher, "boot-1", time.Hour)
	if !ok {
		t.Fatal("a newer signed time was no news")
	}
	if _, ok := f.learn(signed, publisher, "boot-1", 2*time.Hour); ok {
		t.Error("the same signed time was news again: that would be a write at each poll")
	}
	if got, want := f.at(built, "boot-1", 3*time.Hour), signed.Add(2*time.Hour); !got.Equal(want) {
		t.Errorf("two hours after it was learned the floor is %s, expected %s", got, want)
	}
	if got, want := f.at(built, "boot-2", 5*time.Hour), signed.Add(5*time.Hour); !got.Equal(want) {
		t.Errorf("five hours into the next boot the floor is %s, expected %s", got, want)
	}
}

// TestTheFloorIsTheLaterOfTwo: an image that was built after the newest timestamp was signed must not make the device forget how
// long ago that was, nor what it ran for itself.
func TestTheFloorIsTheLaterOfTwo(t *testing.T) {
	const days = 24 * time.Hour
	f := TimeFloor{SignedAt: built.Add(-days), Signers: publisher, Accrued: 100 * days, BootID: "boot-1"}
	if got, want := f.at(built, "boot-2", time.Hour), built.Add(99*days+time.Hour); !got.Equal(want) {
		t.Errorf("built after what is signed, and long ago: %s, expected %s", got, want)
	}
	f.Accrued = 0
	f = f.from(built, "boot-2", 0)
	if got, want := f.at(built, "boot-2", 5*time.Hour), built.Add(5*time.Hour); !got.Equal(want) {
		t.Errorf("built after what is signed, and a while: %s, expected %s", got, want)
	}
	f, _ = f.accrue("boot-2", 40*time.Hour)
	if got, want := f.at(built, "boot-3", time.Hour), built.Add(41*time.Hour); !got.Equal(want) {
		t.Errorf("in the next boot: %s, expected %s", got, want)
	}
	f, _ = f.learn(built.Add(20*time.Hour), publisher, "boot-3", time.Hour)
	if got, want := f.at(built, "boot-3", time.Hour), built.Add(41*time.Hour); !got.Equal(want) || !f.SignedAt.After(built) {
		t.Errorf("after a timestamp of before that: %s, expected %s", got, want)
	}
}

// TestTimeGoesByWithoutSignedTimes: other publishers sign no time. What a device of theirs ran for counts from its build time on,
// over boots and restarts; never what another image ran for, and never what went by before this one was there.
func TestTimeGoesByWithoutSignedTimes(t *testing.T) {
	f := TimeFloor{}.from(built, "boot-1", 100*time.Hour) // put in place in a boot that had lasted for long
	if got := f.at(built, "boot-1", 100*time.Hour); !got.Equal(built) {
		t.Errorf("at its first start it is %s, expected %s", got, built)
	}
	if got := f.at(built, "boot-1", 99*time.Hour); got.Before(built) {
		t.Errorf("it is %s, before the build", got)
	}
	f, ok := f.accrue("boot-1", 130*time.Hour)
	if !ok {
		t.Fatal("thirty hours were not worth a write")
	}
	f = f.from(built, "boot-2", time.Hour)
	if got, want := f.at(built, "boot-2", 2*time.Hour), built.Add(32*time.Hour); !got.Equal(want) {
		t.Errorf("in the next boot it is %s, expected %s", got, want)
	}
	later := built.AddDate(10, 0, 0) // a build machine's clock was wrong
	on := f.from(later, "boot-3", time.Hour)
	if on, ok = on.accrue("boot-3", 50*time.Hour); !ok || !on.at(later, "boot-3", 50*time.Hour).Equal(later.Add(49*time.Hour)) {
		t.Errorf("the other image is at %s", on.at(later, "boot-3", 50*time.Hour))
	}
	if got := on.from(built, "boot-4", 0).at(built, "boot-4", time.Hour); !got.Equal(built.Add(time.Hour)) {
		t.Errorf("back from it the device is at %s, expected %s", got, built.Add(time.Hour))
	}
}

// TestTimeDoesNotGoBack: a mirror hands out each day's timestamp as late as it can. Each is news, none is a younger time.
func TestTimeDoesNotGoBack(t *testing.T) {
	const day = 24 * time.Hour
	f, _ := TimeFloor{}.learn(built, publisher, "boot-1", 0)
	for n := range 12 {
		up := 9*day + time.Duration(n)*day
		before, signed := f.at(built, "boot-1", up), built.Add(time.Duration(n+1)*day)
		f, _ = f.learn(signed, publisher, "boot-1", up)
		if got := f.at(built, "boot-1", up); got.Before(before) {
			t.Fatalf("a timestamp of %s turned the time back from %s to %s", signed, before, got)
		}
		if got := f.at(built, "boot-2", 0); got.Before(signed) {
			t.Fatalf("in the next boot it is %s, and a timestamp of %s was accepted", got, signed)
		}
	}
	if f, _ = f.learn(built.Add(40*day), publisher, "boot-1", 21*day); f.Accrued != 0 || !f.at(built, "boot-1", 21*day).Equal(built.Add(40*day)) {
		t.Errorf("a time that is news leaves the floor at %+v", f)
	}
}

// TestDeadClockUnderAFreeze: a device whose RTC is dead and that is switched off each night must still see a frozen
// timestamp expire: at least half of what each boot was up for adds up, and never more than all of it.
func TestDeadClockUnderAFreeze(t *testing.T) {
	for hours, writesMax := range map[int]int{2: 4, 8: 6, 23: 7, 25: 7, 24 * 30: 7 + 30} {
		f, _ := TimeFloor{}.learn(built, publisher, "boot-0", 0)
		const boots = 30
		writes := 0
		for n := range boots {
			for up := time.Duration(0); up < time.Duration(hours)*time.Hour; up += 10 * time.Minute {
				if next, ok := f.accrue(fmt.Sprint(n), up); ok {
					f, writes = next, writes+1
				}
			}
		}
		all := boots * time.Duration(hours) * time.Hour
		if got := f.at(built, "last", 0).Sub(built); got < all/2-boots*10*time.Minute || got > all {
			t.Errorf("after %d boots of %d hours the floor has grown by %s", boots, hours, got)
		}
		if writes > boots*writesMax {
			t.Errorf("%d writes in %d boots of %d hours, expected at most %d in each", writes, boots, hours, writesMax)
		}
	}
}

// TestShortDrivesUnderAFreeze: power that is cut after each short drive loses what was not written. Where the publisher is heard each
// day, that is hardly worth a write: at most about one a day, but on a device that is switched on far more often. Where nothing new
// comes, the uptime adds up all the same, if slowly: frozen metadata expires at last.
func TestShortDrivesUnderAFreeze(t *testing.T) {
	for name, c := range map[string]struct {
		minutes, perDay, days int
		frozen                bool
		writesMax             float64 // a day
		countedMin            float64 // of the uptime
	}{
		"a car":                    {25, 4, 1000, false, 0.7, 0},
		"a car, frozen":            {25, 4, 1000, true, 2.2, 0.15},
		"a bus":                    {25, 30, 200, false, 5, 0},
		"a bus, frozen":            {25, 30, 200, true, 16, 0.15},
		"a lift's door":            {6, 200, 100, true, 20, 0.05},
		"a bus that drives longer": {40, 30, 200, true, 35, 0.5},
	} {
		f, _ := TimeFloor{}.learn(built, publisher, "first", 0)
		var counted time.Duration
		writes, boot := 0, 0
		for n := range c.days {
			if signed := built.AddDate(0, 0, n); !c.frozen && n > 0 {
				counted += f.Accrued
				f, _ = f.learn(signed, publisher, fmt.Sprint("boot-", boot), 0)
			}
			for range c.perDay {
				boot++
				for up := time.Duration(0); up < time.Duration(c.minutes)*time.Minute; up += time.Minute {
					if next, ok := f.accrue(fmt.Sprint("boot-", boot), up); ok {
						f, writes = next, writes+1
					}
				}
			}
		}
		counted += f.Accrued
		all := time.Duration(boot*c.minutes) * time.Minute
		t.Logf("%s: %.1f writes a day, %.0f%% of the uptime counts", name, float64(writes)/float64(c.days), 100*float64(counted)/float64(all))
		if float64(writes) > c.writesMax*float64(c.days) {
			t.Errorf("%s: %d writes in %d days, at most %.1f a day are expected", name, writes, c.days, c.writesMax)
		}
		if float64(counted) < c.countedMin*float64(all) || counted > all {
			t.Errorf("%s: %s of %s counts", name, counted, all)
		}
	}
}

// TestAgeIsNotCountedTwice: a restart of the process in the same boot must not count the boot's uptime again, or the
// device would lock itself out of good metadata.
func TestAgeIsNotCountedTwice(t *testing.T) {
	f, _ := TimeFloor{}.learn(built, publisher, "boot-1", 0)
	f, ok := f.accrue("boot-1", 30*time.Hour)
	if !ok {
		t.Fatal("thirty hours were not worth a write")
	}
	if got, want := f.at(built, "boot-1", 31*time.Hour), built.Add(31*time.Hour); !got.Equal(want) {
		t.Errorf("the floor is %s, expected %s", got, want)
	}
}
