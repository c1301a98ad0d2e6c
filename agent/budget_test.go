package agent

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestBudgetAllows(t *testing.T) {
	const max = 8 << 20 // so a step is 1 MiB
	for name, c := range map[string]struct {
		paid   Spending
		used   int64
		want   int64
		n      int64
		charge int64 // 0: none
	}{
		"the first bytes charge a step":           {Spending{Day: 5}, 0, 100, 100, 1 << 20},
		"what is charged is allowed":              {Spending{Day: 5, Bytes: 1 << 20}, 1 << 19, 1 << 19, 1 << 19, 0},
		"one byte more charges the next step":     {Spending{Day: 5, Bytes: 1 << 20}, 1 << 19, 1<<19 + 1, 1<<19 + 1, 2 << 20},
		"more than a step at once":                {Spending{Day: 5}, 0, 3 << 20, 3 << 20, 3 << 20},
		"the last step ends at the budget":        {Spending{Day: 5, Bytes: 15 << 19}, 15 << 19, 1, 1, 8 << 20},
		"no more than is left":                    {Spending{Day: 5, Bytes: 8 << 20}, 8<<20 - 7, 100, 7, 0},
		"nothing is left":                         {Spending{Day: 5, Bytes: 8 << 20}, 8 << 20, 100, 0, 0},
		"metadata went beyond the budget":         {Spending{Day: 5, Bytes: 9 << 20}, 9 << 20, 100, 0, 0},
		"metadata that was not charged goes with": {Spending{Day: 5}, 1<<20 + 5, 100, 100, 1<<20 + 105},
	} {
		b := budget{max: max, paid: c.paid, used: c.used}
		n, charge := b.allow(c.want)
		var got int64
		if charge != nil {
			got = charge.Bytes
		}
		if n != c.n || got != c.charge || charge != nil && charge.Day != 5 {
			t.Errorf("%s: %d bytes, charge %d; want %d, %d", name, n, got, c.n, c.charge)
		}
	}
}

func TestBudgetByDay(t *testing.T) {
	b := newBudget(1000, Spending{Day: 7, Floor: 6, Bytes: 600}, 50)
	for _, c := range []struct {
		what              string
		day, floor, meter int64
		left              int64
	}{
		{"after a start all that was charged counts as used", 7, 6, 50, 400},
		{"what comes over the network counts", 7, 6, 150, 300},
		{"a meter that went back counts nothing", 7, 6, 0, 300},
		{"a boot with a dead clock: yesterday is no new day", 6, 6, 0, 300},
		{"and it counts what comes", 6, 6, 100, 200},
		{"today again: it has been", 7, 6, 100, 200},
		{"the floor comes up to today", 7, 7, 100, 200},
		{"tomorrow", 8, 7, 100, 1000},
		{"the clock is ahead: a new budget", 10_000, 8, 100, 1000},
		{"all of it is used up", 10_000, 8, 1100, 0},
		{"the clock comes back: nothing is forgotten", 8, 8, 1100, 0},
		{"and goes on without its floor", 9, 8, 1100, 0},
		{"the floor follows: it is not used up for years", 9, 9, 1100, 1000},
		{"nor renewed again", 9, 9, 1200, 900},
		{"the next day", 10, 9, 1200, 1000},
	} {
		b.count(c.day, c.floor, c.meter)
		if left := max(0, b.max-b.used); left != c.left {
			t.Errorf("%s: %d bytes are left, want %d", c.what, left, c.left)
		}
	}
}

// TestARebootDoesNotRenewTheBudget: without an RTC it is yesterday after each boot, by the newest timestamp's
// day, until the network has set the clock.
func TestARebootDoesNotRenewTheBudget(t *testing.T) {
	const max, yesterday, today = 100 << 20, 19_999, 20_000
	paid, used := Spending{}, int64(0)
	for range 5 {
		b, meter := newBudget(max, paid, 0), int64(0)
		b.count(yesterday, yesterday, meter)
		for {
			b.count(today, yesterday, meter)
			n, charge := b.allow(1 << 20)
			if charge != nil {
				paid, b.paid = *charge, *charge
			}
			if n == 0 {
				break
			}
			meter, used = meter+n, used+n
		}
	}
	if used != max {
		t.Errorf("%d MiB came on one day, and the budget is %d MiB", used>>20, max>>20)
	}
}

// TestBudgetIsChargedAhead draws random days: what is durable is never below what images used, a day costs at most
// budgetSteps charges, and images never go beyond the budget.
func TestBudgetIsChargedAhead(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		max := 1 + r.Int64N(1<<uint(4+r.IntN(30)))
		b := newBudget(max, Spending{}, 0)
		var meter, images, charges int64
		for range 2000 {
			n, charge := b.allow(1 + r.Int64N(max/50+1))
			if charge != nil {
				if charges++; charge.Bytes <= b.paid.Bytes {
					t.Fatalf("max %d: a charge of %d after one of %d", max, charge.Bytes, b.paid.Bytes)
				}
				b.paid = *charge
			}
			if n > 0 {
				n = 1 + r.Int64N(n) // a read may bring less
			}
			meter, images = meter+n, images+n
			b.count(0, 0, meter)
			if images > b.paid.Bytes || images > max {
				t.Fatalf("max %d: images used %d, charged were %d", max, images, b.paid.Bytes)
			}
			if n == 0 && b.used < max {
				t.Fatalf("max %d: nothing is allowed, and %d were used", max, b.used)
			}
		}
		if charges > budgetSteps {
			t.Fatalf("max %d: %d charges", max, charges)
		}
	}
}

// Metadata is charged once it is worth a write: polls that find nothing new cost none.
func TestMetadataIsChargedLate(t *testing.T) {
	for _, max := range []int64{1_000_000, 50_000_000, 1_000_000_000_000} {
		b := newBudget(max, Spending{Day: 1}, 0)
		limit := min(max/budgetSteps, budgetQuiet)
		b.count(1, 1, limit-1)
		if s := b.settle(); s != nil {
			t.Errorf("budget %d: %d bytes of metadata are charged: %+v", max, limit-1, s)
		}
		b.count(1, 1, limit)
		if s := b.settle(); s == nil || s.Bytes < limit {
			t.Errorf("budget %d: %d bytes of metadata are not charged: %+v", max, limit, s)
		}
	}
}

func TestBudgetGate(t *testing.T) {
	for name, c := range map[string]struct {
		s    *BudgetStatus
		want bool // closed
	}{
		"no budget":                        {nil, false},
		"all of it is left":                {&BudgetStatus{DayBytesMax: 1e6, Left: 1e6}, false},
		"enough for a request":             {&BudgetStatus{DayBytesMax: 1e9, Left: budgetWorth}, false},
		"too little for a request":         {&BudgetStatus{DayBytesMax: 1e9, Left: budgetWorth - 1, RenewsIn: 60}, true},
		"enough of a small budget":         {&BudgetStatus{DayBytesMax: 1e6, Left: 1e6 / 64}, false},
		"none":                             {&BudgetStatus{DayBytesMax: 1e6, RenewsIn: 60}, true},
		"none of a budget that is no size": {&BudgetStatus{DayBytesMax: 1, RenewsIn: 60}, true},
	} {
		w := budgetGate(c.s)
		if (w != nil) != c.want || w != nil && (w.Reason != ReasonByteBudget || w.Left != 60) {
			t.Errorf("%s: %+v, want closed: %t", name, w, c.want)
		}
	}
}

// A body under a budget yields no byte that was not charged before, and the charge is durable.
func TestMeteredBody(t *testing.T) {
	store := &fakeStore{}
	book, err := openLedger(store)
	must(t, err)
	var received int64
	a := &account{book: book, meter: func() int64 { return received },
		now: func() (time.Time, string, time.Time) { return testNow, sourceClock, testNow }, budget: budget{max: 1000}}
	src := &countingReader{Reader: strings.NewReader(strings.Repeat("x", 5000)), n: &received}
	b, err := io.ReadAll(meteredBody{io.NopCloser(src), a, nil})
	var p *Problem
	if len(b) != 1000 || !errors.As(err, &p) || p.Reason != ReasonByteBudget {
		t.Errorf("%d bytes came, and then %v; want 1000 and %s", len(b), err, ReasonByteBudget)
	}
	if got := store.state.Device.Spent; got != (Spending{Day: testNow.Unix() / secondsPerDay, Floor: testNow.Unix() / secondsPerDay, Bytes: 1000}) {
		t.Errorf("durable is %+v", got)
	}
	if s := a.status(); s.Spent != 1000 || s.Left != 0 || s.RenewsIn != 12*3600 {
		t.Errorf("status: %+v", s)
	}
	store.fails = true
	a.budget = budget{max: 1000}
	src.Reader, received = strings.NewReader("x"), 0
	if _, err := (meteredBody{io.NopCloser(src), a, nil}).Read(make([]byte, 1)); err == nil || received != 0 {
		t.Errorf("%d bytes came although the charge could not be made durable (%v)", received, err)
	}
}

// countingReader counts what it yields.
type countingReader struct {
	io.Reader
	n *int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.n += int64(n)
	return n, err
}
