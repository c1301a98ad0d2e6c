package mqtt

import (
	"testing"
	"time"
)

func TestBackoffGrowsWithFullJitter(t *testing.T) {
	var b backoff
	for i, window := range []time.Duration{10, 20, 40, 80, 160, 300, 300, 300} {
		window *= time.Second
		lowest, least := b, time.Duration(0)
		if least, _ = lowest.after(outcome{}, 0); least != waitMin {
			t.Errorf("failure %d: a draw of 0 waits %s, want %s", i, least, waitMin)
		}
		most, fight := b.after(outcome{}, 0.999999)
		if fight {
			t.Errorf("failure %d: a broker that can't be reached is no fight", i)
		}
		if most > window || most < window*99/100 {
			t.Errorf("failure %d: the highest draw waits %s, want just under %s", i, most, window)
		}
	}
}

func TestBackoffStartsAnewAfterAStableSession(t *testing.T) {
	var b backoff
	for range 10 {
		b.after(outcome{}, 0.5)
	}
	if wait, _ := b.after(outcome{lived: stableAfter, closed: true}, 0.999999); wait > windowMin {
		t.Errorf("waits %s after a stable session, want at most %s", wait, windowMin)
	}
}

func TestBackoffDoesNotOverflow(t *testing.T) {
	var b backoff
	for range 1000 {
		if wait, _ := b.after(outcome{}, 0.999999); wait < waitMin || wait > windowMax {
			t.Fatalf("waits %s", wait)
		}
	}
}

func TestFightIsRecognised(t *testing.T) {
	thrown := outcome{lived: 2 * time.Second, closed: true}
	for _, c := range []struct {
		name     string
		sessions []outcome
		want     bool
	}{
		{"three in a row", []outcome{thrown, thrown, thrown}, true},
		{"two", []outcome{thrown, thrown}, false},
		{"the network broke one", []outcome{thrown, thrown, {lived: time.Second}}, false},
		{"one never got that far", []outcome{thrown, thrown, {closed: true}, thrown}, false},
		{"a stable one between", []outcome{thrown, thrown, {lived: time.Hour, closed: true}, thrown}, false},
		{"and it goes on", []outcome{thrown, thrown, thrown, thrown, thrown}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b backoff
			var fight bool
			var wait time.Duration
			for _, o := range c.sessions {
				wait, fight = b.after(o, 0)
			}
			if fight != c.want {
				t.Fatalf("fight is %t, want %t", fight, c.want)
			}
			if fight && wait < fightWait/2 {
				t.Errorf("waits %s, want at least %s", wait, fightWait/2)
			}
		})
	}
}
