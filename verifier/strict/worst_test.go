package strict

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// A worstCase makes a document of about length bytes that costs as much as its author could make it. Nobody
// has signed it.
type worstCase struct {
	name string
	fill func(length int) string // of the object "x" in signed
}

func (w worstCase) document(length int) []byte {
	return []byte(`{"signatures":[],"signed":{"x":` + w.fill(length) + `,"a":1}}`)
}

// judge is what a verifier does with a document before it checks a signature.
func judge(raw []byte) error {
	d, err := ParseDocument(raw)
	if err != nil {
		return err
	}
	_, err = d.Signed.Canonical()
	return err
}

// object writes members up to a length. name is called for each.
func object(length int, name func(i int) string) string {
	var b strings.Builder
	b.Grow(length + 100)
	b.WriteString("{")
	for i := 0; b.Len() < length; i++ {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`"` + name(i) + `":0`)
	}
	b.WriteString("}")
	return b.String()
}

// letters numbers names with n letters, in an order that is mixed or descends.
func letters(i, n int) string {
	name := make([]byte, n)
	for k := n - 1; k >= 0; k-- {
		name[k] = 'a' + byte(i%26)
		i /= 26
	}
	return string(name)
}

// deep nests objects out of order as far as it goes around what is in the middle.
func deep(length int, middle string) string {
	const levels = DepthMax - 4
	nest := strings.Repeat(`{"b":`, levels) + middle + strings.Repeat(`,"a":0}`, levels) + ","
	return "[" + strings.Repeat(nest, length/len(nest)) + "0]"
}

func worst() []worstCase {
	const many = 26 * 26 * 26 * 26 * 26
	step := func(i int) int { return int(int64(i) * 7_654_321 % many) } // in no order
	return []worstCase{
		{"descending names", func(n int) string { return object(n, func(i int) string { return letters(many-1-i, 8) }) }},
		{"mixed names", func(n int) string { return object(n, func(i int) string { return letters(step(i), 7) }) }},
		{"shortest names", func(n int) string { return object(n, func(i int) string { return letters(step(i), 5) }) }},
		{"names with a common beginning", func(n int) string {
			return object(n, func(i int) string { return strings.Repeat("x", 40) + letters(step(i), 5) })
		}},
		{"long names", func(n int) string {
			return object(n, func(i int) string { return strings.Repeat("x", 100_000) + letters(step(i), 5) })
		}},
		{"names, each the beginning of the next", func(n int) string {
			return object(n, func(i int) string { return strings.Repeat("x", max(1, 7000-i)) })
		}},
		{"escaped names", func(n int) string { return object(n, func(i int) string { return `\t` + letters(step(i), 6) }) }},
		{"escaped letters", func(n int) string {
			return object(n, func(i int) string { return `\u0078` + letters(step(i), 5) + `\u0079` })
		}},
		{"few escaped names", func(n int) string {
			var b strings.Builder
			for b.Len() < n { // 60,000 names fill 1 MB; the rest is an array of small objects
				if b.Len() == 0 {
					b.WriteString(`[` + object(60_000*12, func(i int) string { return `\t` + letters(step(i), 6) }))
				}
				b.WriteString(`,{"bbbbbbbbb":0,"aaaaaaaa":0}`)
			}
			return b.String() + "]"
		}},
		{"small objects", func(n int) string {
			return "[" + strings.Repeat(`{"bbbbbbbbb":0,"aaaaaaaa":0},`, n/29) + "0]"
		}},
		{"objects of thirty names", func(n int) string {
			one := object(30*13, func(i int) string { return letters(step(i), 8) }) + ","
			return "[" + strings.Repeat(one, n/len(one)) + "0]"
		}},
		{"deep nests", func(n int) string { return deep(n, "0") }},
		{"deep nests around text", func(n int) string { return deep(n, `["`+strings.Repeat(`\\`, 400)+`"]`) }},
		{"one deep nest around objects", func(n int) string {
			const levels = DepthMax - 5
			inner := "[" + strings.Repeat(`{"bbbbbbbbb":0,"aaaaaaaa":0},`, n/29) + "0]"
			return strings.Repeat(`{"b":`, levels) + inner + strings.Repeat(`,"a":0}`, levels)
		}},
		{"numbers", func(n int) string { return "[" + strings.Repeat("0,", n/2) + "0]" }},
		{"empty objects", func(n int) string { return "[" + strings.Repeat("{},", n/3) + "0]" }},
		{"empty texts", func(n int) string { return "[" + strings.Repeat(`"",`, n/3) + "0]" }},
		{"escapes", func(n int) string { return `"` + strings.Repeat(`\u0061`, n/6) + `"` }},
		{"escaped quotes", func(n int) string { return `"` + strings.Repeat(`\"`, n/2) + `"` }},
		{"white space", func(n int) string { return "[" + strings.Repeat(" 0,", n/3) + "0]" }},
		{"signs", func(n int) string { return "[" + strings.Repeat("-0,", n/3) + "0]" }},
		{"one number", func(n int) string { return strings.Repeat("1", n) }},
		{"letters beyond ASCII", func(n int) string { return `"` + strings.Repeat("\u00e9", n/2) + `"` }},
		{"a bad end of a long name", func(n int) string { return `{"` + strings.Repeat(`\t`, n/2) + `":x}` }},
	}
}

// allocated is how many bytes f allocates: never less than what it holds at any time.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// Row L1: parsing a document and making its canonical form allocates no more than twice its length, beside
// the document itself.
func TestL1_NoDocumentCostsMoreThanTwiceItsLength(t *testing.T) {
	for _, w := range worst() {
		for _, length := range []int{1 << 10, 1 << 20, 6 << 20} {
			raw := w.document(length)
			var err error
			got := allocated(func() { err = judge(raw) })
			if most := 2*int64(len(raw)) + 1<<20; got > most {
				t.Errorf("%s: %d bytes of document allocate %d, at most %d are in order (%v)", w.name, len(raw), got, most, err)
			}
		}
	}
}

// Row L2: what would cost too much to sort is refused as that, and what is honest is far from it.
func TestL2_MembersAreBounded(t *testing.T) {
	short := func(i int) string { return letters(i, 5) }
	mixed := func(i int) string { return letters(int(int64(i)*7919%(26*26*26*26*26)), 8) }
	escaped := func(i int) string { return `\t` + mixed(i) }
	for name, c := range map[string]struct {
		raw  string
		want error
	}{
		"as many as may be, ascending":       {object(12*membersFree, short), nil},
		"too many, ascending":                {object(12<<20, short), ErrLimit},
		"many, out of order":                 {object(4<<20, mixed), nil},
		"as many escaped ones as may be":     {object(spelledMax*12, escaped), nil},
		"too many escaped ones out of order": {object(spelledMax*17, escaped), ErrLimit},
		"many escaped ones in order":         {object(2<<20, func(i int) string { return `\u0061` + letters(i, 5) }), nil},
	} {
		if _, err := Parse([]byte(c.raw)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Row L2: names in any order make one canonical form, however they are spelled.
func TestL2_AnyOrderIsSorted(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	texts := []string{"", "a", "aa", "ab", "\u00e9", "\U0001F600", "\ue000", "~", " ", "A", "0", "aaaaaaaaaaaaaaaaaaaaaaaaa"}
	for range 300 {
		names := map[string]bool{}
		for range 1 + random.IntN(300) {
			name := ""
			for range random.IntN(4) {
				name += texts[random.IntN(len(texts))]
			}
			names[name] = true
		}
		var members []string
		spell := random.IntN(3) == 0
		for name := range names {
			if spell && random.IntN(3) == 0 {
				name = strings.ReplaceAll(strings.ReplaceAll(name, "a", `\u0061`), "\U0001F600", `\uD83D\ude00`)
			}
			members = append(members, fmt.Sprintf(`"%s":%d`, name, random.IntN(10)))
		}
		random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		got, err := Canonical([]byte("{" + strings.Join(members, ",") + "}"))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		again, err := Parse(got)
		if err != nil || again.form != exact {
			t.Fatalf("seed %d: %s is not canonical (%v)", seed, got, err)
		}
		members = append(members, members[random.IntN(len(members))])
		if _, err := Canonical([]byte("{" + strings.Join(members, ",") + "}")); err == nil {
			t.Fatalf("seed %d: a name that comes twice was not noticed", seed)
		}
		if bytes.Count(got, []byte(":")) != len(names) {
			t.Fatalf("seed %d: %s has not %d members", seed, got, len(names))
		}
	}
}
