package agent

import (
	"fmt"
	"slices"
)

// Bounds of the journal. Each event's JSON is at most EventBytesMax, so the journal never holds more than
// (EventProgressMax + EventVerdictsMax) × EventBytesMax bytes; a usual one holds a tenth of that.
const (
	// EventProgressMax events of progress are kept: those of eight updates or so.
	EventProgressMax = 32
	// EventVerdictsMax verdicts are kept, and more of them than there are kinds.
	EventVerdictsMax = 32
	// outcomesMax told verdicts are kept for how each component's last update ended, while newer ones need their room.
	outcomesMax = EventVerdictsMax / 2
)

// A JournalMark is what is kept about the journal as a whole.
type JournalMark struct {
	// ID is the journal's name: random, so that no other journal of this or another device has it.
	ID string `json:"id"`
	// Last is the highest Seq that was ever given, and Told the one up to which the broker has acknowledged.
	Last uint64 `json:"last"`
	Told uint64 `json:"told,omitempty"`
}

// A journal is the events that are kept, in the order of their Seq. It is a value: with returns another one.
type journal struct {
	mark   JournalMark
	events []Event
}

// with is the journal after more happened. Both classes have a bound of their own, so neither can push out the other.
func (j journal) with(told []Event) journal {
	var progress, verdicts []Event
	for _, e := range j.events {
		if e.Kind.progress() {
			progress = append(progress, e)
		} else {
			verdicts = append(verdicts, e)
		}
	}
	for _, e := range told {
		j.mark.Last++
		e.Journal, e.Seq = j.mark.ID, j.mark.Last
		if e.Kind.progress() {
			progress = append(progress, e)
		} else {
			verdicts = append(verdicts, e)
		}
	}
	progress = progress[max(0, len(progress)-EventProgressMax):]
	for len(verdicts) > EventVerdictsMax {
		told := 0
		for told < len(verdicts) && verdicts[told].Seq <= j.mark.Told {
			told++
		}
		if i := spare(verdicts, told); i >= 0 {
			verdicts = slices.Delete(slices.Clone(verdicts), i, i+1)
			continue
		}
		verdicts = slices.Concat(verdicts[:told], fold(verdicts[told:]))
	}
	j.events = inOrder(progress, verdicts)
	return j
}

// spare is the oldest of the told verdicts that is not how its component's last update ended, or, where there
// are too many of those, or nothing else, the oldest; -1: none was told, or none can be spared.
func spare(verdicts []Event, told int) int {
	for i := range told {
		if last, _ := lastOutcome(verdicts, verdicts[i].Component); last != i {
			return i
		}
	}
	if told > outcomesMax || told > len(verdicts)-2 {
		return min(told, 1) - 1
	}
	return -1
}

// fold makes one verdict fewer of two or more, none of which was told: the oldest that has its like is
// counted in the next one like it. Alike is, as long as there are such: the same kind for the same release;
// then for the same component; then the same kind; then any. There are fewer kinds than EventVerdictsMax, so
// it never comes to the last. What was told already is older than all of these, so a verdict that grows is
// one that nobody has seen.
func fold(verdicts []Event) []Event {
	for _, like := range []func(a, b *Event) bool{
		func(a, b *Event) bool {
			return a.Kind == b.Kind && a.Component == b.Component && a.Release != nil && b.Release != nil && *a.Release == *b.Release
		},
		func(a, b *Event) bool { return a.Kind == b.Kind && a.Component == b.Component },
		func(a, b *Event) bool { return a.Kind == b.Kind },
	} {
		for i := range verdicts {
			for k := i + 1; k < len(verdicts); k++ {
				if like(&verdicts[i], &verdicts[k]) {
					return foldInto(verdicts, i, k)
				}
			}
		}
	}
	return foldInto(verdicts, 0, 1)
}

// foldInto counts event i in event k, and returns a list without i.
func foldInto(list []Event, i, k int) []Event {
	a, b := list[i], list[k]
	first := a.Seq
	if a.First > 0 {
		first = a.First
	}
	if b.First > 0 {
		first = min(first, b.First)
	}
	b.Count, b.First = max(1, a.Count)+max(1, b.Count), first
	out := append(append([]Event{}, list[:i]...), list[i+1:]...)
	out[k-1] = b
	return out
}

// inOrder merges two lists by Seq.
func inOrder(a, b []Event) []Event {
	out := make([]Event, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Seq < b[0].Seq {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// change says what a commit has to put and drop for the journal to become next.
func (j journal) change(next journal) (put []Event, drop []uint64) {
	kept := next.events
	for _, old := range j.events {
		switch {
		case len(kept) == 0 || old.Seq < kept[0].Seq:
			drop = append(drop, old.Seq)
			continue
		case old.Count != kept[0].Count:
			put = append(put, kept[0])
		}
		kept = kept[1:]
	}
	return append(put, kept...), drop
}

// newJournalID names a journal; random is in [0,1).
func newJournalID(random float64) string { return fmt.Sprintf("%014x", uint64(random*(1<<53))) }
