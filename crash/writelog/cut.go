package writelog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A Cut is one power cut: After requests were completed, and then Lost of the writes among them is not on the medium.
//
// That writes reach the medium in another order than they were made in needs no more than that: a later one is there
// and an earlier one is not.
type Cut struct {
	Kind  Kind
	After int
	Lost  []Loss // by rising entry, each one volatile
}

// A Kind is how a cut was chosen.
type Kind string

// The kinds of cuts.
const (
	Prefix Kind = "prefix" // nothing is lost
	Single Kind = "single" // one write is lost, and all others up to the next flush are there
	Torn   Kind = "torn"   // as Single, but some of the write's sectors are there
	Subset Kind = "subset" // any writes are lost, any may be torn
)

// A Loss is what is not there of a write: sectors First to End of its data, End excluded.
type Loss struct {
	Entry      int
	First, End int64
}

func (c Cut) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s cut after %d requests", c.Kind, c.After)
	for _, l := range c.Lost {
		fmt.Fprintf(&s, ", without sectors %d-%d of request %d", l.First, l.End-1, l.Entry)
	}
	return s.String()
}

// A Plan says which cuts to make.
type Plan struct {
	// Random decides where writes tear, and the subsets.
	Random *rand.Rand
	// Subsets is how many are drawn for each stretch between two flushes.
	Subsets int
	// Whole are the sectors at the beginning of the disk of which a write is never torn, for a file system that relies
	// on that.
	Whole int64
}

// Cuts are all prefixes that differ, each single volatile write lost and torn, and for each stretch between two flushes
// subsets of it.
func (l *Log) Cuts(p Plan) []Cut {
	cuts := []Cut{{Kind: Prefix}}
	for n, e := range l.Entries {
		if e.writes() {
			cuts = append(cuts, Cut{Kind: Prefix, After: n + 1})
		}
	}
	for n, begin := 0, 0; n <= len(l.Entries); n++ {
		if n < len(l.Entries) && l.Entries[n].Flags&Flush == 0 {
			continue
		}
		volatile := l.volatile(begin, n)
		cuts = append(cuts, l.losses(p, volatile, n)...)
		for range p.Subsets {
			if c := l.subset(p, volatile, begin, n); len(c.Lost) > 0 {
				cuts = append(cuts, c)
			}
		}
		begin = n
	}
	return cuts
}

// volatile are the writes among entries begin to end that no flush and no FUA made durable. At begin stands a flush, or
// the log's first entry.
func (l *Log) volatile(begin, end int) (entries []int) {
	for n := begin; n < end; n++ {
		if e := l.Entries[n]; e.writes() && e.Flags&FUA == 0 {
			entries = append(entries, n)
		}
	}
	return entries
}

// losses lose each volatile write once, and tear each one once that can be.
func (l *Log) losses(p Plan, volatile []int, end int) (cuts []Cut) {
	for _, n := range volatile {
		cuts = append(cuts, Cut{Kind: Single, After: end, Lost: []Loss{{n, 0, l.Entries[n].Sectors}}})
		if p.tears(l.Entries[n]) {
			cuts = append(cuts, Cut{Kind: Torn, After: end, Lost: []Loss{p.tear(n, l.Entries[n])}})
		}
	}
	return cuts
}

// tears tells whether a write can be torn.
func (p Plan) tears(e Entry) bool { return e.Sectors > 1 && e.Sector >= p.Whole }

// tear loses the beginning of a write or its end, at least one sector and not all.
func (p Plan) tear(entry int, e Entry) Loss {
	at := 1 + p.Random.Int64N(e.Sectors-1)
	if p.Random.IntN(2) == 0 {
		return Loss{entry, 0, at}
	}
	return Loss{entry, at, e.Sectors}
}

// subset cuts anywhere between entries begin and end, and there loses about half of the volatile writes.
func (l *Log) subset(p Plan, volatile []int, begin, end int) Cut {
	c := Cut{Kind: Subset, After: begin + 1 + p.Random.IntN(max(1, end-begin))}
	for _, n := range volatile {
		switch fate := p.Random.IntN(4); {
		case n >= c.After || fate < 2: // it is there
		case fate == 2 && p.tears(l.Entries[n]):
			c.Lost = append(c.Lost, p.tear(n, l.Entries[n]))
		default:
			c.Lost = append(c.Lost, Loss{n, 0, l.Entries[n].Sectors})
		}
	}
	return c
}

// Disk is what a disk that held before when the log began holds after c: all completed writes in their order, but for
// what was lost. It does not change before.
func (l *Log) Disk(before []byte, c Cut) []byte {
	disk, lost := slices.Clone(before), c.Lost
	for n, e := range l.Entries[:c.After] {
		if !e.writes() {
			continue
		}
		missing := Loss{n, 0, 0}
		if len(lost) > 0 && lost[0].Entry == n {
			missing, lost = lost[0], lost[1:]
		}
		l.apply(disk, e, 0, missing.First)
		l.apply(disk, e, missing.End, e.Sectors)
	}
	return disk
}

// apply writes sectors first to end of an entry.
func (l *Log) apply(disk []byte, e Entry, first, end int64) {
	size := int64(l.SectorBytes)
	place := disk[(e.Sector+first)*size : (e.Sector+end)*size]
	if e.Flags&Discard != 0 {
		clear(place)
		return
	}
	copy(place, e.Data[first*size:end*size])
}
