package fetch

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// bookMax bounds how many addresses, and how many names, are remembered: a redirect may name any.
const bookMax = 128

// A book remembers which addresses failed. One that failed rests as a mirror does: it is tried last.
type book struct {
	mu    sync.Mutex
	rests map[netip.AddrPort]addressRest
	names map[string][]netip.AddrPort // by host:port, as last resolved
}

type addressRest struct {
	failures int
	until    time.Time
	// first: it helped when others did not, and comes before them until then.
	first time.Time
}

func newBook() *book {
	return &book{rests: map[netip.AddrPort]addressRest{}, names: map[string][]netip.AddrPort{}}
}

// note keeps what a name was resolved to.
func (b *book) note(target string, list []netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.names[target]; !known && len(b.names) >= bookMax {
		clear(b.names)
	}
	b.names[target] = list
}

// order puts the addresses that rest behind the others, who rests shortest first, and keeps addressesMax.
func (b *book) order(list []netip.AddrPort) []netip.AddrPort {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	list = slices.Clone(list)
	place := func(a netip.AddrPort) time.Duration {
		r := b.rests[a]
		if now.Before(r.first) {
			return -1
		}
		return max(r.until.Sub(now), 0)
	}
	slices.SortStableFunc(list, func(x, y netip.AddrPort) int { return cmp.Compare(place(x), place(y)) })
	return list[:min(len(list), addressesMax)]
}

// failed lets an address rest.
func (b *book) failed(a netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, known := b.rests[a]
	if !known && len(b.rests) >= bookMax {
		clear(b.rests)
	}
	rest := restMin
	for range min(r.failures, 10) {
		rest = min(2*rest, restMax)
	}
	b.rests[a] = addressRest{failures: r.failures + 1, until: time.Now().Add(rest)}
}

// served ends an address's rest.
func (b *book) served(a netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, known := b.rests[a]; known && r.failures > 0 {
		delete(b.rests, a)
	}
}

// prefer puts the address first that a trip with a pin found to work, for as long as a bad one may rest:
// those that were merely slower than it may be as bad.
func (b *book) prefer(t *trip) {
	_, a := t.sentTo()
	if t.pin == nil || !a.IsValid() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rests[a] = addressRest{first: time.Now().Add(restMax)}
}

// fresh says whether a target has an address that does not rest, beside one.
func (b *book) fresh(target string, beside netip.AddrPort) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.names[target], func(a netip.AddrPort) bool {
		return a != beside && !time.Now().Before(b.rests[a].until)
	})
}

// forget ends all rests: on another network other addresses answer.
func (b *book) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.rests)
}
