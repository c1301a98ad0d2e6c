package fetch

import (
	"testing"
	"time"
)

// TestCourse is the rule by which a download stays, measures another mirror, or goes on from a faster one.
func TestCourse(t *testing.T) {
	const hour = 3_600_000 // bytes that take an hour at 1,000 B/s
	know := func(rate float64) sight { return sight{rate, true} }
	unknown := sight{}
	for _, tt := range []struct {
		name string
		c    course
		want int
	}{
		{"nobody", course{left: hour, current: -1}, -1},
		{"the first, where nothing is known", course{left: hour, current: -1, sights: []sight{unknown, unknown}}, 0},
		{"the first is soon done", course{left: 400_000, current: -1, sights: []sight{know(1000), know(9000)}}, 0},
		{"the first is known to drip", course{left: hour, current: -1, sights: []sight{know(1000), know(9000)}}, 1},
		{"the first drips, the second was not measured", course{left: hour, current: -1, sights: []sight{know(1000), unknown, know(9000)}}, 1},
		{"all drip: the fastest", course{left: hour, current: -1, sights: []sight{know(100), know(300), know(200)}}, 1},

		{"soon done", course{left: 400_000, sights: []sight{know(1000), unknown}}, 0},
		{"eight minutes in all", course{left: 60_000, spent: 7 * time.Minute, sights: []sight{know(1000), unknown}}, 0},
		{"more than eight minutes in all", course{left: 62_000, spent: 7 * time.Minute, sights: []sight{know(1000), unknown}}, 1},
		{"who keeps promising an end is not believed for ever", course{left: 1, spent: 8 * time.Minute, sights: []sight{know(1000), unknown}}, 1},
		{"slow, and nobody else", course{left: hour, sights: []sight{know(1000)}}, 0},
		{"slow, and one is not measured", course{left: hour, sights: []sight{know(1000), know(5000), unknown}}, 2},
		{"nothing at all came", course{left: hour, sights: []sight{know(0), unknown}}, 1},
		{"nothing comes from anybody", course{left: hour, sights: []sight{know(0), know(0)}}, 0},

		{"after a measure the faster one, be it by little", course{left: hour, fresh: true, current: 1, sights: []sight{know(1001), know(1000)}}, 0},
		{"after a measure the faster one stays", course{left: hour, fresh: true, current: 1, sights: []sight{know(1000), know(1001)}}, 1},
		{"later nobody jumps about for little", course{left: hour, sights: []sight{know(1000), know(2000)}}, 0},
		{"twice as fast is worth a request", course{left: hour, sights: []sight{know(1000), know(2001)}}, 1},
		{"the fastest of several", course{left: hour, sights: []sight{know(1000), know(3000), know(4000), know(2500)}}, 2},

		{"our own cap is what holds it up", course{left: hour, bandwidth: 1000, sights: []sight{know(1000), unknown}}, 0},
		{"the cap is not, but leaves the others no faster", course{left: hour, bandwidth: 1000, sights: []sight{know(900), know(90_000)}}, 0},
		{"far below the cap", course{left: hour, bandwidth: 10_000, sights: []sight{know(900), know(90_000)}}, 1},
	} {
		if got := tt.c.next(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
