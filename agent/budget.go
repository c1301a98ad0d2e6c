package agent

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Bounds of the byte budget.
const (
	// budgetSteps is into how many steps a day's budget is charged, each durable before its first byte is used: so a day
	// costs at most this many commits, and a restart forfeits at most one step.
	budgetSteps = 8
	// budgetWorth is the least that a download begins for, or the budgetWorthPart of a small budget: less would hardly
	// outweigh the request.
	budgetWorth     = 64 << 10
	budgetWorthPart = 64
	// budgetQuiet is what metadata may cost before it is charged by itself, or one step where that is less: a
	// poll that finds nothing new writes nothing, and what a restart can make forgotten stays small.
	budgetQuiet = 1 << 20
)

// Spending is what was charged to the byte budget. Within a day it is never below what came over the network, but for
// budgetQuiet and the metadata file that is on its way.
type Spending struct {
	// Day counts the days since 1970-01-01 in UTC, by the effective time.
	Day int64 `json:"day,omitempty"`
	// Floor is the day that was certain then, by the floor of the effective time.
	Floor int64 `json:"floor,omitempty"`
	// Bytes were charged on that day.
	Bytes int64 `json:"bytes,omitempty"`
}

// A budget bounds what a day's downloads may bring over the network. It is pure: whoever owns it makes its
// charges durable.
type budget struct {
	max  int64    // bytes a day
	paid Spending // as charged
	used int64    // on the day of paid; more than max only by metadata
	seen int64    // the meter, when it was last looked at
}

// newBudget goes on from what was charged: all of it may have been used.
func newBudget(max int64, paid Spending, meter int64) budget {
	return budget{max: max, paid: paid, used: paid.Bytes, seen: meter}
}

// count takes a reading of the meter, and begins anew with a later day. A day before that, as after a boot in
// which nothing has set the clock yet, goes on with what was used: it is no new one, and neither is the day
// on which the clock comes up to where it was. Only once the time's floor, too, has come to a later day it is
// clear that the clock was ahead, and is not any more: so that does not keep a budget used up for years.
func (b *budget) count(day, floor, meter int64) {
	b.used += max(0, meter-b.seen)
	b.seen = meter
	if b.paid.Day > 0 && b.paid.Floor == 0 { // charged by an agent of before, which kept none
		b.paid.Floor = floor
	}
	switch {
	case day > b.paid.Day, day < b.paid.Day && floor > b.paid.Floor:
		b.paid, b.used = Spending{Day: day, Floor: floor}, 0
	case day == b.paid.Day:
		b.paid.Floor = max(b.paid.Floor, floor)
	}
}

func (b *budget) step() int64 { return (b.max + budgetSteps - 1) / budgetSteps }

// allow says how many of the next want bytes may be used, and what must be durable before; nil: nothing.
func (b *budget) allow(want int64) (n int64, charge *Spending) {
	n = max(0, min(want, b.max-b.used))
	if n == 0 || b.used+n <= b.paid.Bytes {
		return n, nil
	}
	return n, b.charge(b.used + n)
}

// settle says what must be durable of what was used and not charged before: metadata.
func (b *budget) settle() *Spending {
	if b.used-b.paid.Bytes < min(b.step(), budgetQuiet) {
		return nil
	}
	return b.charge(b.used)
}

// charge is at least bytes, and a step more than before where the budget has one left.
func (b *budget) charge(bytes int64) *Spending {
	return &Spending{Day: b.paid.Day, Floor: b.paid.Floor, Bytes: max(bytes, min(b.max, b.paid.Bytes+b.step()))}
}

// budgetGate closes while too little of the day's budget is left.
func budgetGate(s *BudgetStatus) *Waiting {
	if s == nil || s.Left > 0 && s.Left >= min(budgetWorth, s.DayBytesMax/budgetWorthPart) {
		return nil
	}
	return &Waiting{Reason: ReasonByteBudget, Left: s.RenewsIn,
		Text: fmt.Sprintf("the day's budget of %d bytes is used up; it renews at 00:00 UTC", s.DayBytesMax)}
}

// An account is a budget with its meter and its memory. Its methods may be called from any goroutine; those
// of a nil account allow everything.
type account struct {
	book  *ledger
	meter func() int64
	now   func() (now time.Time, source string, floor time.Time) // effective

	mu     sync.Mutex
	budget budget
}

// newAccount opens the account; nil where there is no budget.
func newAccount(e *engine) (*account, error) {
	if e.cfg.DayBytesMax <= 0 {
		return nil, nil
	}
	if e.p.Counters == nil {
		return nil, fmt.Errorf("a byte budget needs counters that say what came over the network")
	}
	a := &account{book: e.book, meter: func() int64 { return e.p.Counters().BytesFetched },
		now: e.effectiveTime}
	a.budget = newBudget(e.cfg.DayBytesMax, e.book.device().Spent, a.meter())
	return a, nil
}

const secondsPerDay = 24 * 60 * 60

// count brings the budget up to date and returns the time, in seconds since 1970.
func (a *account) count() int64 {
	now, _, floor := a.now()
	a.budget.count(now.Unix()/secondsPerDay, floor.Unix()/secondsPerDay, a.meter())
	return now.Unix()
}

// allow returns how many of the next want bytes of an image may be used now: they are charged durably.
func (a *account) allow(want int, by *worker) (int, error) {
	if a == nil {
		return want, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count()
	n, charge := a.budget.allow(int64(want))
	if n == 0 {
		return 0, &Problem{Reason: ReasonByteBudget, Text: "the day's byte budget is used up"}
	}
	return int(n), a.charge(charge, by)
}

// settle charges what metadata used; it is never refused, so that a device hears of a security fix on any day.
func (a *account) settle(by *worker) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count()
	return a.charge(a.budget.settle(), by)
}

func (a *account) charge(s *Spending, by *worker) error {
	if s == nil {
		return nil
	}
	if err := a.book.setDevice(func(d *DeviceState) { d.Spent = *s }, by); err != nil {
		return err
	}
	a.budget.paid = *s
	return nil
}

// status is the account for the status document; nil where there is none.
func (a *account) status() *BudgetStatus {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.count()
	return &BudgetStatus{DayBytesMax: a.budget.max, Spent: a.budget.used, Left: max(0, a.budget.max-a.budget.used),
		RenewsIn: Seconds(secondsPerDay - now%secondsPerDay)}
}

// A metered repository takes the bytes of images from an account, and charges those of metadata to it.
type metered struct {
	Repository
	account *account
}

// Metadata implements Repository. Each file is charged as it came, not all at the refresh's end: a process that dies in
// each refresh of a large repository must not forget each time what that cost.
func (m metered) Metadata(ctx context.Context, name string, bytesMax int64) ([]byte, error) {
	b, err := m.Repository.Metadata(ctx, name, bytesMax)
	if err := m.account.settle(workerOf(ctx)); err != nil {
		return nil, err
	}
	return b, err
}

// Image implements Repository.
func (m metered) Image(ctx context.Context, r ImageRequest) (ImageBody, error) {
	body, err := m.Repository.Image(ctx, r)
	if err == nil {
		body.ReadCloser = meteredBody{body.ReadCloser, m.account, workerOf(ctx)}
	}
	return body, err
}

type meteredBody struct {
	io.ReadCloser
	account *account
	worker  *worker
}

// Read implements io.Reader: it asks for no more than what is charged.
func (b meteredBody) Read(p []byte) (int, error) {
	n, err := b.account.allow(len(p), b.worker)
	if err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p[:n])
}
