package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each client does each small job, from an empty store and then from what it left there.
func TestEachClientDoesItsJob(t *testing.T) {
	rows := scenarios(1, 10)
	dir := t.TempDir()
	var small []scenario
	for _, row := range rows {
		if row.repository != signaturesName { // go-tuf takes minutes
			small = append(small, row)
		}
	}
	if err := makeRepositories(dir, small); err != nil {
		t.Fatal(err)
	}
	for _, client := range []string{ours, ownStore, goTUF} {
		for _, row := range small {
			j := job{Client: client, Repository: filepath.Join(dir, row.repository), Store: t.TempDir(), Find: targetPath(lookedUp)}
			for range 2 {
				if err := j.run(); err != nil {
					t.Errorf("%s, %s: %v", client, row.name, err)
				}
			}
			if names, err := os.ReadDir(j.Store); err != nil || len(names) == 0 {
				t.Errorf("%s, %s: kept %v, %v", client, row.name, names, err)
			}
			if j.Find = "other.img"; j.run() == nil {
				t.Errorf("%s, %s: found a target that is not listed", client, row.name)
			}
		}
	}
}

// A repository with 100,000 signatures is refused before any of them is looked at.
func TestManySignaturesAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := makeRepository(dir, signaturesName); err != nil {
		t.Fatal(err)
	}
	j := job{Client: ours, Repository: dir, Store: t.TempDir()}
	if err := j.run(); err == nil || !strings.Contains(err.Error(), "256 signatures") {
		t.Errorf("%v, want a refusal that names the limit", err)
	}
}

func TestBudgets(t *testing.T) {
	ms := func(n float64, peak int64) result { return result{Seconds: n / 1000, Peak: peak} }
	for _, c := range []struct {
		name         string
		time, memory float64
		mine, theirs result
		holds        bool
	}{
		{"no budget", 0, 0, ms(9, 9), ms(1, 1), true},
		{"exactly", 10, 10, ms(1, 1), ms(10, 10), true},
		{"too slow", 10, 10, ms(1.1, 1), ms(10, 10), false},
		{"too large", 10, 10, ms(1, 11), ms(10, 100), false},
		{"no slower", 1, 0, ms(2, 9), ms(2, 1), true},
		{"slower", 1, 0, ms(2.1, 1), ms(2, 9), false},
	} {
		row := comparison{
			scenario{name: c.name, timeBudget: c.time, memoryBudget: c.memory},
			map[string]result{ours: c.mine, goTUF: c.theirs},
		}
		if got := row.holds(); got != c.holds {
			t.Errorf("%s: holds %v, want %v", c.name, got, c.holds)
		}
		table := table{w: io.Discard}
		table.row(row)
		if err := table.foot(result{}); (err == nil) != c.holds {
			t.Errorf("%s: the command ends with %v", c.name, err)
		}
	}
}

func TestMedians(t *testing.T) {
	got := medians([]result{{Seconds: 5, Peak: 1}, {Seconds: 1, Peak: 9}, {Seconds: 2, Peak: 3}})
	if got.Seconds != 2 || got.Peak != 3 {
		t.Errorf("medians %+v, want 2 s and 3 bytes", got)
	}
}
