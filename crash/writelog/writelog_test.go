package writelog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ota-agent/ota-agent/crash/writelog"
)

const sector = 512

// A request is what a test puts into a log: a write of some sectors that hold fill, unless flags say otherwise.
type request struct {
	at, sectors int64
	flags       writelog.Flags
	fill        byte
	mark        string
}

// encode writes a log as a machine would.
func encode(requests ...request) []byte {
	b := make([]byte, sector)
	little := binary.LittleEndian
	for i, v := range []uint64{0x6a736677736872, 1, uint64(len(requests)), sector} {
		little.PutUint64(b[8*i:], v)
	}
	for _, r := range requests {
		entry := make([]byte, sector)
		for i, v := range []uint64{uint64(r.at), uint64(r.sectors), uint64(r.flags), uint64(len(r.mark))} {
			little.PutUint64(entry[8*i:], v)
		}
		copy(entry[32:], r.mark)
		b = append(b, entry...)
		if r.flags&writelog.Discard == 0 {
			b = append(b, bytes.Repeat([]byte{r.fill}, int(r.sectors)*sector)...)
		}
	}
	return b
}

func parse(t *testing.T, disk int64, requests ...request) *writelog.Log {
	t.Helper()
	l, err := writelog.Parse(encode(requests...), disk)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sectors shows a disk with a letter for each sector; one that holds several values is '!', zeros are '.'.
func sectors(disk []byte) string {
	var s []byte
	for ; len(disk) > 0; disk = disk[sector:] {
		c := disk[0]
		switch {
		case !bytes.Equal(disk[:sector], bytes.Repeat([]byte{c}, sector)):
			c = '!'
		case c == 0:
			c = '.'
		}
		s = append(s, c)
	}
	return string(s)
}

func TestDisk(t *testing.T) {
	const flush = writelog.Flush
	l := parse(t, 8*sector,
		request{at: 0, sectors: 2, fill: 'a'},
		request{flags: flush},
		request{at: 1, sectors: 3, fill: 'b'},
		request{at: 5, sectors: 1, fill: 'c', flags: writelog.FUA},
		request{mark: "here", flags: writelog.Mark},
		request{at: 3, sectors: 2, fill: 'd', flags: flush},
		request{at: 0, sectors: 1, flags: writelog.Discard},
	)
	if l.Entries[4].Mark != "here" {
		t.Errorf("mark %q", l.Entries[4].Mark)
	}
	before := bytes.Repeat([]byte{'-'}, 8*sector)
	for _, x := range []struct {
		after int
		lost  []writelog.Loss
		want  string
	}{
		{0, nil, "--------"},
		{1, nil, "aa------"},
		{3, nil, "abbb----"},
		{7, nil, ".bbddc--"},
		{7, []writelog.Loss{{Entry: 6, First: 0, End: 1}}, "abbddc--"},
		{7, []writelog.Loss{{Entry: 5, First: 0, End: 2}}, ".bbb-c--"},
		{5, []writelog.Loss{{Entry: 2, First: 0, End: 1}}, "aabb-c--"},
		{5, []writelog.Loss{{Entry: 2, First: 1, End: 3}}, "ab---c--"},
		{7, []writelog.Loss{{Entry: 5, First: 1, End: 2}, {Entry: 6, First: 0, End: 1}}, "abbd-c--"},
	} {
		c := writelog.Cut{After: x.after, Lost: x.lost}
		if got := sectors(l.Disk(before, c)); got != x.want {
			t.Errorf("%v: the disk holds %s, want %s", c, got, x.want)
		}
	}
	if sectors(before) != "--------" {
		t.Error("the disk of before was changed")
	}
}

// Cuts lose nothing but what a disk may lose, and all of that.
func TestCuts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := parse(t, 64*sector,
		request{at: 0, sectors: 8, fill: 'a'},
		request{at: 8, sectors: 1, fill: 'b'},
		request{flags: writelog.Flush},
		request{at: 9, sectors: 1, fill: 'c', flags: writelog.FUA},
		request{at: 16, sectors: 8, fill: 'd'},
		request{at: 24, sectors: 8, fill: 'e', flags: writelog.Flush},
		request{at: 32, sectors: 8, fill: 'f'},
	)
	// Behind which flush each write is durable.
	durable := map[int]int{0: 3, 1: 3, 3: 4, 4: 6}
	kinds, single := map[writelog.Kind]int{}, map[int]bool{}
	for _, c := range l.Cuts(writelog.Plan{Random: random, Subsets: 50, Whole: 8}) {
		kinds[c.Kind]++
		last := -1
		for _, loss := range c.Lost {
			behind, ever := durable[loss.Entry]
			if loss.Entry >= c.After || ever && c.After >= behind || loss.Entry == 3 {
				t.Errorf("%v: request %d was durable, or was not made", c, loss.Entry)
			}
			if loss.Entry <= last || loss.First < 0 || loss.End > l.Entries[loss.Entry].Sectors || loss.First >= loss.End {
				t.Errorf("%v: %+v is no loss", c, loss)
			}
			if loss.Entry == 0 && loss.End-loss.First < 8 {
				t.Errorf("%v: request 0 is torn", c)
			}
			last = loss.Entry
			if c.Kind == writelog.Single {
				single[loss.Entry] = true
			}
		}
	}
	if kinds[writelog.Prefix] != 7 || kinds[writelog.Single] != 5 || kinds[writelog.Torn] != 3 || kinds[writelog.Subset] < 50 {
		t.Errorf("kinds of cuts: %v", kinds)
	}
	for _, n := range []int{0, 1, 4, 5, 6} {
		if !single[n] {
			t.Errorf("request %d was never lost alone", n)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := encode(request{at: 1, sectors: 2, fill: 'a'}, request{flags: writelog.Flush})
	const disk = 4 * sector
	if _, err := writelog.Parse(good, disk); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := writelog.Parse(good[:n], disk); !errors.Is(err, writelog.ErrMalformed) {
			t.Fatalf("the first %d of %d bytes are taken: %v", n, len(good), err)
		}
	}
	for name, change := range map[string]struct {
		at    int
		value uint64
	}{
		"magic":               {0, 1},
		"version":             {8, 2},
		"more entries":        {16, 3},
		"very many entries":   {16, 1 << 63},
		"no sector size":      {24, 0},
		"odd sector size":     {24, 513},
		"vast sector size":    {24, 1 << 31},
		"write behind disk":   {sector, 3},
		"write far behind":    {sector, 1 << 63},
		"long write":          {sector + 8, 5},
		"endless write":       {sector + 8, 1<<64 - 1},
		"unknown flag":        {sector + 16, 1 << 9},
		"long mark":           {sector + 24, sector},
		"a mark without end":  {sector + 24, 1<<64 - 1},
		"entries out of step": {sector + 8, 3},
	} {
		bad := bytes.Clone(good)
		binary.LittleEndian.PutUint64(bad[change.at:], change.value)
		if _, err := writelog.Parse(bad, disk); !errors.Is(err, writelog.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is parsed can be cut and applied anywhere without a panic.
func FuzzParse(f *testing.F) {
	f.Add(encode())
	f.Add(encode(request{at: 1, sectors: 2, fill: 'a'}, request{flags: writelog.Flush}, request{sectors: 3, flags: writelog.Discard}))
	f.Add(encode(request{mark: "m", flags: writelog.Mark}, request{at: 7, sectors: 1, flags: writelog.FUA}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		const disk = 8 * 4096
		l, err := writelog.Parse(raw, disk)
		if err != nil {
			if !errors.Is(err, writelog.ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			return
		}
		cuts := l.Cuts(writelog.Plan{Random: rand.New(rand.NewPCG(1, 1)), Subsets: 2})
		for _, c := range cuts[:min(len(cuts), 64)] {
			if got := len(l.Disk(make([]byte, disk), c)); got != disk {
				t.Errorf("%v: the disk has %d bytes", c, got)
			}
		}
	})
}
