package verifier_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A meteredDevice refreshes, looks a path up, and measures what each answer makes the verifier allocate.
type meteredDevice struct {
	t      testing.TB
	files  map[string][]byte
	store  *tuftest.Store
	anchor []byte
	limits verifier.Limits
	// slack is what an answer may cost beyond twice its length, in bytes.
	slack int64
	// longest is the longest answer.
	longest int
}

func newMeteredDevice(t testing.TB, repo *tuftest.Repository) *meteredDevice {
	return &meteredDevice{t: t, files: repo.Files(), store: tuftest.NewStore(), anchor: repo.Anchor(), slack: 2 << 20}
}

// run is a whole refresh with a search.
func (d *meteredDevice) run() error {
	refresh, err := verifier.Begin(d.anchor, d.store.Floors, tuftest.Start().Add(time.Minute), d.limits)
	if err != nil {
		return err
	}
	if err := d.drive(refresh); err != nil {
		return err
	}
	search := refresh.Find(tuftest.WorstPath)
	if err := d.drive(search); err != nil {
		return err
	}
	_, err = search.Found()
	return err
}

func (d *meteredDevice) drive(c verifier.Conversation) error {
	for {
		request, more := c.Next()
		if !more {
			return nil
		}
		answer, length := d.answer(request)
		var change verifier.Change
		var err error
		cost := allocated(func() { change, err = c.Supply(answer) })
		if most := 2*int64(length) + d.slack; cost > most {
			d.t.Errorf("%s of %d bytes makes the verifier allocate %d, at most %d are in order", request.Key.Role, length, cost, most)
		}
		d.longest = max(d.longest, length)
		if !change.Empty() {
			err = errors.Join(d.store.Commit(change), err)
		}
		if err != nil {
			return err
		}
	}
}

func (d *meteredDevice) answer(q verifier.Request) (verifier.Answer, int) {
	file, ok := d.files[q.Name]
	if q.Source == verifier.Stored {
		file, ok = d.store.Documents[q.Key]
	}
	switch {
	case !ok:
		return verifier.Absent(), 0
	case int64(len(file)) > q.BytesMax:
		return verifier.Failed(errTooLong), 0
	}
	return verifier.Bytes(file), len(file)
}

var errTooLong = errors.New("longer than asked for")

// allocated is how many bytes f allocates: never less than what it holds at any time.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// The worst documents that were found, each of them asked for by a device that its author could bring to that.
func TestL1_NoDocumentCostsMoreThanThreeTimesItsLength(t *testing.T) {
	for _, w := range tuftest.Worst() {
		t.Run(w.Name, func(t *testing.T) {
			if w.Checks {
				return // what each check takes is gone after it: TestL3 counts them
			}
			d := newMeteredDevice(t, w.Make(3<<20))
			err := d.run()
			t.Logf("%d bytes: %v", d.longest, err)
		})
	}
}

// The checks of signatures are counted over a whole refresh with its searches, whatever kind of keys a vendor chooses.
func TestL3_SignatureChecksAreBounded(t *testing.T) {
	for _, w := range tuftest.Worst() {
		if !w.Checks {
			continue
		}
		d := newMeteredDevice(t, w.Make(0))
		d.slack, d.limits.Checks = 1<<40, 300
		checks, err := d.checks()
		if checks > 300+256 {
			t.Errorf("%s: %d signatures were checked", w.Name, checks)
		}
		if checks > 300 && !errors.Is(err, verifier.ErrLimitExceeded) {
			t.Errorf("%s: %v, want a refusal that names the limit", w.Name, err)
		}
	}
}

// checks is run, and counts the signatures of targets roles that it checks.
func (d *meteredDevice) checks() (int, error) {
	refresh, err := verifier.Begin(d.anchor, d.store.Floors, tuftest.Start().Add(time.Minute), d.limits)
	if err != nil {
		return 0, err
	}
	if err := d.drive(refresh); err != nil {
		return verifier.Checks(refresh), err
	}
	search := refresh.Find(tuftest.WorstPath)
	err = d.drive(search)
	return verifier.Checks(refresh), err
}

// Ed25519 hashes all of a document for each key: of a long one, few signatures are checked.
func TestL3_LongDocumentsAreHashedAFewTimes(t *testing.T) {
	for _, w := range tuftest.Worst() {
		if w.Name != "vendor, 256 Ed25519 signatures of a long file" {
			continue
		}
		for length, most := range map[int]int{64 << 10: 258, 1 << 20: 50, 3 << 20: 28} {
			d := newMeteredDevice(t, w.Make(length))
			checks, err := d.checks()
			if checks > most || (err == nil) != (length < 100_000) {
				t.Errorf("%d bytes: %d signatures checked, at most %d are in order (%v)", length, checks, most, err)
			}
		}
	}
}

// Many vendors' long roles are checked up to a bound, in one refresh; what was checked before and is
// unchanged does not count.
func TestL3_CheckedBytesAreBounded(t *testing.T) {
	repo, client := newDevice()
	repo.MetaHashes = true
	for _, name := range []string{"a", "b", "c"} {
		role := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: name, Paths: []string{name + "/*"}})
		role.Add(name+"/x", []byte("x"))
		role.Edit = set("x", strings200k())
	}
	client.Limits.CheckedBytes = 450_000
	refresh := refreshed(t, client)
	var refused []string
	for _, name := range []string{"a", "b", "c"} {
		if _, err := client.FindIn(refresh, name+"/x"); errors.Is(err, verifier.ErrLimitExceeded) {
			refused = append(refused, name)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(refused) != 1 || refused[0] != "c" {
		t.Errorf("refused are %v, want the third", refused)
	}
	refresh = refreshed(t, client)
	for _, name := range []string{"a", "b", "c"} {
		if _, err := client.FindIn(refresh, name+"/x"); err != nil {
			t.Errorf("the next refresh, %s: %v", name, err)
		}
	}
}

func strings200k() string { return strings.Repeat("x", 200_000) }

// A long delegated role has the room of the top-level file, which is read again for the next search, and
// whose signatures are not checked again.
func TestL1_TheTopLevelFileMakesRoom(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Add("plain", []byte("p"))
	repo.Targets().Edit = set("x", strings200k())
	vendor := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "vendor", Paths: []string{"vendor/*"}})
	vendor.Add("vendor/x", []byte("x"))
	vendor.Edit = set("x", strings200k())
	client.Limits.StatedBytes, client.Limits.TargetsBytes = 250_000, 250_000
	refresh := refreshed(t, client)
	before := refresh.Trusted()
	client.Store.Asked = nil
	for range 2 {
		for _, path := range []string{"vendor/x", "plain"} {
			if _, err := client.FindIn(refresh, path); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	reads := 0
	for _, key := range client.Store.Asked {
		if key == (verifier.Key{Role: verifier.Targets}) {
			reads++
		}
	}
	if reads != 2 {
		t.Errorf("targets were read again %d times, want once after each visit to the vendor", reads)
	}
	if checks := verifier.Checks(refresh); checks > 3 {
		t.Errorf("%d signatures were checked, want those of targets once", checks)
	}
	if !slices.Equal(before, refresh.Trusted()) {
		t.Errorf("what is trusted was %v, and is now %v", before, refresh.Trusted())
	}
}

// A custom value stays in memory for as long as its target is on offer.
func TestL2_ACustomValueIsBounded(t *testing.T) {
	for length, class := range map[int]error{verifier.CustomBytesMax: nil, verifier.CustomBytesMax + 1: verifier.ErrLimitExceeded} {
		repo, client := newDevice()
		repo.MetaHashes = true
		repo.Targets().Targets["x"] = tuftest.Target([]byte("x"), strings.Repeat("c", length-2))
		if _, err := client.Find("x"); !errors.Is(err, class) {
			t.Errorf("custom of %d bytes: %v, want %v", length, err, class)
		}
	}
}

// A snapshot that the timestamp states to be longer than any real one is not asked for.
func TestL2_ALongSnapshotIsNotAskedFor(t *testing.T) {
	repo, client := newDevice()
	repo.MetaHashes = true
	repo.Snapshot.Edit = set("x", strings.Repeat("x", int(verifier.DefaultLimits().StatedSnapshotBytes)))
	_, err := client.Refresh()
	wantRefusal(t, err, verifier.Snapshot, verifier.ErrLimitExceeded)
	if slices.Contains(repo.Asked(), "1.snapshot.json") {
		t.Error("it was asked for")
	}
}

// The canonical form of a file that is kept is not kept beside it.
func TestL1_NoCanonicalFormIsKept(t *testing.T) {
	repo, client := newDevice()
	spaced := func(file []byte) []byte { return append([]byte(" "), strings.ReplaceAll(string(file), `,"`, `, "`)...) }
	repo.Targets().Tamper, repo.Snapshot.Tamper = spaced, spaced
	if kept := verifier.KeptForms(refreshed(t, client)); kept != 0 {
		t.Errorf("%d bytes of canonical forms are kept", kept)
	}
}
