package mqtt

import (
	"math/rand/v2"
	"testing"
	"time"
)

const highest = 0.999999 // draw

func TestBackoffGrowsWithFullJitter(t *testing.T) {
	b := backoff{spread: 10 * time.Second}
	for i, window := range []time.Duration{10, 20, 40, 80, 160, 300, 300, 300} {
		window *= time.Second
		lowest, least := b, time.Duration(0)
		if least, _ = lowest.after(outcome{}, 0); least != waitMin {
			t.Errorf("failure %d: a draw of 0 waits %s, want %s", i, least, waitMin)
		}
		most, thrown := b.after(outcome{}, highest)
		if thrown {
			t.Errorf("failure %d: a broker that can't be reached throws nobody out", i)
		}
		if most > window || most < window*99/100 {
			t.Errorf("failure %d: the highest draw waits %s, want just under %s", i, most, window)
		}
	}
}

// TestTheFirstWindowIsTheConfigs: a fleet that a broker's restart brings back spreads over what the config says.
func TestTheFirstWindowIsTheConfigs(t *testing.T) {
	for _, spread := range []time.Duration{time.Second, ReconnectSpreadDefault, time.Hour} {
		b := backoff{spread: spread}
		if most, _ := b.after(outcome{lived: time.Hour, closed: true}, highest); most > spread || most < spread*99/100 {
			t.Errorf("waits %s at most, want just under %s", most, spread)
		}
	}
}

func TestBackoffStartsAnewAfterAStableSession(t *testing.T) {
	b := backoff{spread: 10 * time.Second}
	for range 10 {
		b.after(outcome{}, 0.5)
	}
	if wait, _ := b.after(outcome{lived: time.Hour, closed: true}, highest); wait > 10*time.Second {
		t.Errorf("waits %s after a stable session, want at most the first window", wait)
	}
}

func TestBackoffDoesNotOverflow(t *testing.T) {
	for _, o := range []outcome{{}, {refused: true}, {lived: time.Second, closed: true}} {
		b := backoff{spread: 10 * time.Second}
		for range 1000 {
			if wait, _ := b.after(o, highest); wait < waitMin || wait > refusedMax {
				t.Fatalf("%+v: waits %s", o, wait)
			}
		}
	}
}

// TestARefusalWaitsLong: a wrong password is not put right by asking again, and it is no outage.
func TestARefusalWaitsLong(t *testing.T) {
	b := backoff{spread: time.Second}
	for i, window := range []time.Duration{10, 20, 40, 60, 60} {
		window *= time.Minute
		if wait, thrown := b.after(outcome{refused: true}, 0); wait != window/2 || thrown {
			t.Errorf("refusal %d: waits %s at least (thrown out: %t), want %s", i, wait, thrown, window/2)
		}
	}
	if wait, _ := b.after(outcome{}, highest); wait > windowMax {
		t.Errorf("an outage after it waits %s", wait)
	}
}

func TestThrownOutIsRecognised(t *testing.T) {
	thrown := outcome{lived: 2 * time.Second, closed: true}
	for _, c := range []struct {
		name     string
		sessions []outcome
		want     bool
	}{
		{"three in a row", []outcome{thrown, thrown, thrown}, true},
		{"two", []outcome{thrown, thrown}, false},
		{"the network broke one", []outcome{thrown, thrown, {lived: time.Second}}, false},
		{"the broker was away in between", []outcome{thrown, {}, thrown, {}, {}, thrown}, true},
		{"a stable one between", []outcome{thrown, thrown, {lived: 3 * time.Hour, closed: true}, thrown}, false},
		{"and it goes on", []outcome{thrown, thrown, thrown, thrown, thrown}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := backoff{spread: 10 * time.Second}
			var is bool
			for _, o := range c.sessions {
				_, is = b.after(o, 0)
			}
			if is != c.want {
				t.Fatalf("thrown out is %t, want %t", is, c.want)
			}
		})
	}
}

// TestABrokerThatCrashesThreeTimesIsSoonBack: a broker that crashes right after each reconnect, three times,
// and stays up then. The wake path is back within minutes, whatever the device draws.
func TestABrokerThatCrashesThreeTimesIsSoonBack(t *testing.T) {
	for _, spread := range []time.Duration{10 * time.Second, ReconnectSpreadDefault} {
		b := backoff{spread: spread}
		var wait time.Duration
		for range 3 {
			wait, _ = b.after(outcome{lived: time.Second, closed: true}, highest)
		}
		if most := max(spread, thrownMin); wait > most || wait < thrownMin/2 {
			t.Errorf("spread %s: waits %s after the third crash, want %s to %s", spread, wait, thrownMin/2, most)
		}
	}
}

// TestAFightIsFound: two clients with one ID. Whoever connects throws the other one out, so a session lives
// as long as the other one waits. Both must see it within the hour, and come ever more seldom.
func TestAFightIsFound(t *testing.T) {
	for _, spread := range []time.Duration{time.Second, 10 * time.Second, ReconnectSpreadDefault, 20 * time.Minute} {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 1))
			clients := [2]backoff{{spread: spread}, {spread: spread}}
			var found [2]time.Duration
			now, wait, holder, sessions := time.Duration(0), time.Second, 0, 0
			for ; now < 24*time.Hour; sessions++ {
				now += wait // the other one comes, and the holder is thrown out
				next, thrown := clients[holder].after(outcome{lived: wait, closed: true}, random.Float64())
				if thrown && found[holder] == 0 {
					found[holder] = now
				}
				wait, holder = next, 1-holder
			}
			for i, at := range found {
				if limit := max(time.Hour, 8*spread); at == 0 || at > limit {
					t.Fatalf("spread %s, seed %d: client %d finds the fight after %s, want it within %s", spread, seed, i, at, limit)
				}
			}
			if sessions > 200 {
				t.Errorf("spread %s, seed %d: %d sessions on a day", spread, seed, sessions)
			}
		}
	}
}
