package verifier_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

const mapped = "boot/u.img"

// A federation is a device whose map names several repositories, each with keys of its own.
type federation struct {
	t       *testing.T
	m       verifier.Map
	devices map[string]*tuftest.Client
	asked   []string
}

// newFederation has repositories a, b and c, which list the path mapped alike, and these mappings.
func newFederation(t *testing.T, mappings string) *federation {
	t.Helper()
	f := &federation{t: t, devices: map[string]*tuftest.Client{}}
	f.m = parsedMap(t, `{"repositories":{"a":["https://a.example/"],"b":["https://b.example/"],"c":["https://c.example/"]},"mapping":[`+mappings+`]}`)
	for _, name := range f.m.Repositories() {
		repo := tuftest.NewNamed(name)
		repo.Targets().Targets[mapped] = tuftest.Target([]byte("image"), ota(7))
		f.devices[name] = tuftest.NewClient(repo)
	}
	return f
}

func ota(rollback int) tuftest.Object {
	return tuftest.Object{"ota": tuftest.Object{"version": "2.0", "rollback_index": rollback, "hardware": []any{"board-a"}}}
}

// lists makes a repository list something else under the path mapped; nil: nothing.
func (f *federation) lists(name string, entry any) {
	repo := f.devices[name].Repo
	delete(repo.Targets().Targets, mapped)
	if entry != nil {
		repo.Targets().Targets[mapped] = entry
	}
	repo.Publish(verifier.Targets)
}

// blocked makes a repository's timestamp impossible to get.
func (f *federation) blocked(name string) error {
	err := errors.New("connection refused")
	f.devices[name].Repo.Override["timestamp.json"] = func() verifier.Answer { return verifier.Failed(err) }
	return err
}

// lookup asks one repository after the other.
func (f *federation) lookup() (verifier.Agreed, error) {
	choice := f.m.Lookup(mapped)
	f.asked = nil
	for {
		names, ok := choice.Next()
		if !ok {
			return choice.Agreed()
		}
		f.asked = append(f.asked, names[0])
		found, err := f.devices[names[0]].Find(mapped)
		if supplied := choice.Supply(names[0], found, err); supplied != nil {
			if _, err := choice.Agreed(); err != supplied {
				f.t.Errorf("Supply ends with %v, Agreed with %v", supplied, err)
			}
		}
	}
}

// agrees wants these repositories to agree, on this custom value.
func (f *federation) agrees(custom any, votes ...string) verifier.Agreed {
	f.t.Helper()
	agreed, err := f.lookup()
	if err != nil {
		f.t.Fatalf("lookup: %v", err)
	}
	var got []string
	for _, v := range agreed.Votes {
		got = append(got, v.Repository)
	}
	if want := string(tuftest.Canonical(custom)); !slices.Equal(got, votes) || string(agreed.Target.Custom) != want {
		f.t.Errorf("%q agree on %s, want %q on %s", got, agreed.Target.Custom, votes, want)
	}
	return agreed
}

// fails wants the lookup to end with this class, after these repositories were asked.
func (f *federation) fails(class error, asked ...string) {
	f.t.Helper()
	agreed, err := f.lookup()
	if !errors.Is(err, class) || agreed.Votes != nil || agreed.Target.Path != "" {
		f.t.Errorf("got %d votes and error %v, want class %v", len(agreed.Votes), err, class)
	}
	if !slices.Equal(f.asked, asked) {
		f.t.Errorf("asked %q, want %q", f.asked, asked)
	}
}

const (
	bothThenC  = `{"paths":["boot/*"],"repositories":["a","b"],"threshold":2},{"paths":["*/*"],"repositories":["c"],"threshold":1}`
	bothAndEnd = `{"paths":["boot/*"],"repositories":["a","b"],"threshold":2,"terminating":true},{"paths":["*/*"],"repositories":["c"],"threshold":1}`
	twoOfThree = `{"paths":["*/*"],"repositories":["a","b","c"],"threshold":2}`
)

func TestMap_RepositoriesAgree(t *testing.T) {
	f := newFederation(t, bothThenC)
	soon := f.devices["b"].Now.Add(time.Hour)
	f.devices["b"].Repo.Targets().Expires = soon
	agreed := f.agrees(ota(7), "a", "b")
	target := agreed.Target
	if target.Path != mapped || target.Length != 5 || len(target.SHA256) != 32 || target.Name != "" || !agreed.Expires.Equal(soon) {
		t.Errorf("agreed on %+v until %v", target, agreed.Expires)
	}
	if name := agreed.Votes[1].Found.Target.Name; name == "" || agreed.Votes[0].Found.Signers[0] == agreed.Votes[1].Found.Signers[0] {
		t.Errorf("vote of b has name %q; signers of both are alike or none", name)
	}
	if !slices.Equal(f.asked, []string{"a", "b"}) {
		t.Errorf("asked %q", f.asked)
	}
}

// One of two repositories is owned by the attacker, who signs something else with its real keys: whatever differs,
// nothing is installed, and the third one is not asked in their place.
func TestMap_OneOfTwoRepositoriesIsCompromised(t *testing.T) {
	both := tuftest.Target([]byte("image"), ota(7))
	sum := sha512.Sum512([]byte("image"))
	both["hashes"] = tuftest.Object{"sha256": both["hashes"].(tuftest.Object)["sha256"], "sha512": hex.EncodeToString(sum[:])}
	alone := maps.Clone(both)
	alone["hashes"] = tuftest.Object{"sha512": hex.EncodeToString(sum[:])}
	longer := tuftest.Target([]byte("image"), ota(7))
	longer["length"] = 6
	extra := ota(7)
	extra["ota"].(tuftest.Object)["of_a_later_version"] = true
	for name, entry := range map[string]any{
		"another image":              tuftest.Target([]byte("trojan"), ota(7)),
		"an image of the same size":  tuftest.Target([]byte("IMAGE"), ota(7)),
		"another length":             longer,
		"a lower rollback index":     tuftest.Target([]byte("image"), ota(6)),
		"a field nobody knows yet":   tuftest.Target([]byte("image"), extra),
		"no ota":                     tuftest.Target([]byte("image"), tuftest.Object{"OTA": ota(7)["ota"]}),
		"no custom":                  tuftest.Target([]byte("image"), nil),
		"ota null":                   tuftest.Target([]byte("image"), tuftest.Object{"ota": nil}),
		"a hash that is only there":  both,
		"no hash that both have":     alone,
		"nothing: it hides the path": nil,
	} {
		for _, evil := range []string{"a", "b"} {
			t.Run(name+" in "+evil, func(t *testing.T) {
				f := newFederation(t, bothThenC)
				f.lists(evil, entry)
				f.fails(verifier.ErrDisagree, "a", "b")
			})
		}
	}
}

// What stands beside ota in custom is each repository's own affair, and so is how ota is spelt. But nothing of it that
// was not compared is handed on as agreed.
func TestMap_OnlyOTAOfCustomIsAgreed(t *testing.T) {
	f := newFederation(t, bothThenC)
	custom := ota(7)
	custom["cdn"] = "https://evil.example/"
	f.lists("a", tuftest.Target([]byte("image"), custom))
	f.devices["b"].Repo.Targets().Tamper = func(file []byte) []byte {
		return bytes.Replace(file, []byte(`"version":"2.0"`), []byte(`"version" : "2\u002e0"`), 1)
	}
	agreed := f.agrees(ota(7), "a", "b")
	if !bytes.Contains(agreed.Votes[0].Found.Target.Custom, []byte("cdn")) || bytes.Equal(agreed.Votes[0].Found.Target.Custom, agreed.Votes[1].Found.Target.Custom) {
		t.Error("the votes do not keep custom as received")
	}

	for _, name := range []string{"a", "b"} {
		f.lists(name, tuftest.Target([]byte("image"), tuftest.Object{"name": name}))
	}
	agreed, err := f.lookup()
	if err != nil || agreed.Target.Custom != nil {
		t.Errorf("got custom %s, error %v; without ota there is nothing to agree on", agreed.Target.Custom, err)
	}
}

// The attacker can't sign, but sits on the wire and blocks one repository, replays its old files, or breaks them. That
// must not lead to a repository which the map puts behind it.
func TestMap_BlockingARepositoryDoesNotReroute(t *testing.T) {
	for _, absent := range []bool{true, false} {
		f := newFederation(t, bothThenC)
		if absent {
			f.lists("b", nil) // b has verified its absence, and c would be next
		}
		err := f.blocked("a")
		f.fails(err, "a")
	}
	f := newFederation(t, bothThenC)
	f.lists("a", nil)
	f.fails(f.blocked("b"), "a", "b")

	f = newFederation(t, bothThenC)
	f.lists("a", nil)
	f.lists("b", nil)
	f.devices["b"].Now = tuftest.Start().AddDate(1, 0, 0)
	f.fails(verifier.ErrExpired, "a", "b")

	f = newFederation(t, bothThenC)
	f.lists("a", nil)
	f.lists("b", nil)
	f.devices["a"].Repo.Targets().By = ed25519s("stranger")
	f.fails(verifier.ErrUnsigned, "a")

	// Any one of two would do; but the second one stands in for nobody who was silenced.
	f = newFederation(t, `{"paths":["*/*"],"repositories":["a","b"],"threshold":1}`)
	f.fails(f.blocked("a"), "a")
}

func TestMap_FallsThroughOnlyWhenNobodyListsThePath(t *testing.T) {
	f := newFederation(t, bothThenC)
	f.lists("a", nil)
	f.lists("b", nil)
	f.agrees(ota(7), "c")
	if !slices.Equal(f.asked, []string{"a", "b", "c"}) {
		t.Errorf("asked %q", f.asked)
	}
	f.lists("c", nil)
	f.fails(verifier.ErrNotListed, "a", "b", "c")

	f = newFederation(t, bothAndEnd)
	f.lists("a", nil)
	f.lists("b", nil)
	f.fails(verifier.ErrNotListed, "a", "b") // terminating: c lists it, but is not trusted with it

	// A repository that a later mapping names again is not asked again.
	f = newFederation(t, `{"paths":["*/*"],"repositories":["a"],"threshold":1},{"paths":["*/*"],"repositories":["a","c"],"threshold":1}`)
	f.lists("a", nil)
	f.agrees(ota(7), "c")
	if !slices.Equal(f.asked, []string{"a", "c"}) {
		t.Errorf("asked %q", f.asked)
	}
}

func TestMap_AThresholdBelowAll(t *testing.T) {
	f := newFederation(t, twoOfThree)
	f.agrees(ota(7), "a", "b") // c is not needed
	f.lists("a", tuftest.Target([]byte("trojan"), ota(9)))
	f.agrees(ota(7), "b", "c") // outvoted
	f.lists("a", nil)
	f.agrees(ota(7), "b", "c")
	f.lists("b", tuftest.Target([]byte("third"), ota(8)))
	f.fails(verifier.ErrDisagree, "a", "b", "c")
	f.lists("a", tuftest.Target([]byte("other"), ota(8)))
	f.fails(verifier.ErrDisagree, "a", "b", "c")

	f = newFederation(t, `{"paths":["*/*"],"repositories":["a","b","c"],"threshold":3}`)
	f.lists("b", tuftest.Target([]byte("trojan"), ota(9)))
	f.fails(verifier.ErrDisagree, "a", "b", "c")

	// Listed twice, counted once: a alone is not two.
	f = newFederation(t, `{"paths":["*/*"],"repositories":["a","a","b"],"threshold":2}`)
	f.lists("b", nil)
	f.fails(verifier.ErrDisagree, "a", "b")
}

// Who answers first must not decide: the attacker can slow anybody down.
func TestMap_TheOrderOfAnswersDoesNotMatter(t *testing.T) {
	outcomes := func(f *federation, order []string) string {
		choice := f.m.Lookup(mapped)
		for _, name := range order {
			found, err := f.devices[name].Find(mapped)
			_ = choice.Supply(name, found, err) // ErrFinished once it is decided
		}
		agreed, err := choice.Agreed()
		return fmt.Sprintf("%s %v", agreed.Target.Custom, err)
	}
	silent := errors.New("timed out")
	stories := map[string]func(*federation){
		"two groups":          func(f *federation) { f.lists("a", tuftest.Target([]byte("other"), ota(8))) },
		"the first is silent": func(f *federation) { f.devices["a"].Repo.Override["timestamp.json"] = answeredFailed(silent) },
		"the last is silent":  func(f *federation) { f.devices["c"].Repo.Override["timestamp.json"] = answeredFailed(silent) },
	}
	for name, story := range stories {
		for _, threshold := range []int{1, 2, 3} {
			f := newFederation(t, fmt.Sprintf(`{"paths":["*/*"],"repositories":["a","b","c"],"threshold":%d}`, threshold))
			story(f)
			want := outcomes(f, []string{"a", "b", "c"})
			for _, order := range [][]string{{"a", "c", "b"}, {"b", "a", "c"}, {"b", "c", "a"}, {"c", "a", "b"}, {"c", "b", "a"}} {
				if got := outcomes(f, order); got != want {
					t.Errorf("%s, threshold %d: in the order %q: %s; in that of the map: %s", name, threshold, order, got, want)
				}
			}
		}
	}
}

func answeredFailed(err error) func() verifier.Answer {
	return func() verifier.Answer { return verifier.Failed(err) }
}

// "Not listed" counts only as a search said it, of this path, and with nothing else gone wrong.
func TestMap_OnlyAVerifiedAbsenceIsOne(t *testing.T) {
	f := newFederation(t, bothThenC)
	f.lists("a", nil)
	_, absence := f.devices["a"].Find(mapped)
	_, other := f.devices["a"].Find("boot/other.img")
	failure := errors.New("disk full")
	for _, test := range []struct {
		err  error
		over bool
	}{
		{absence, false},
		{fmt.Errorf("repository a: %w", absence), false},
		{other, true},
		{verifier.ErrNotListed, true},
		{errors.Join(absence, failure), true},
		{fmt.Errorf("%w, but %w", absence, failure), true},
	} {
		choice := f.m.Lookup(mapped)
		err := choice.Supply("a", verifier.Found{}, test.err)
		if _, more := choice.Next(); more == test.over || (err != nil) != test.over {
			t.Errorf("%v: the choice goes on: %v, error %v", test.err, more, err)
		}
	}
}

func TestMap_AChoiceUsedWrongly(t *testing.T) {
	f := newFederation(t, bothThenC)
	found, err := f.devices["a"].Find(mapped)
	if err != nil {
		t.Fatal(err)
	}
	choice := f.m.Lookup(mapped)
	if _, err := choice.Agreed(); err != verifier.ErrUnfinished {
		t.Errorf("agreed before the end: error %v", err)
	}
	for _, name := range []string{"c", "nobody", ""} {
		if err := choice.Supply(name, found, nil); !errors.Is(err, verifier.ErrNotAsked) {
			t.Errorf("%q was not asked: error %v", name, err)
		}
	}
	if err := choice.Supply("a", found, nil); err != nil {
		t.Fatal(err)
	}
	if err := choice.Supply("a", found, nil); !errors.Is(err, verifier.ErrNotAsked) { // it has voted
		t.Errorf("a votes twice: error %v", err)
	}
	if err := choice.Supply("b", found, nil); err != nil {
		t.Fatal(err)
	}
	if err := choice.Supply("b", found, nil); err != verifier.ErrFinished {
		t.Errorf("after the end: error %v", err)
	}

	broken := func(change func(*verifier.Target)) verifier.Found {
		f := found
		change(&f.Target)
		return f
	}
	for name, found := range map[string]verifier.Found{
		"nothing":           {},
		"another path":      broken(func(t *verifier.Target) { t.Path = "boot/other.img" }),
		"no hash":           broken(func(t *verifier.Target) { t.SHA256 = nil }),
		"a negative length": broken(func(t *verifier.Target) { t.Length = -1 }),
		"custom no JSON":    broken(func(t *verifier.Target) { t.Custom = []byte("{") }),
		"no canonical ota":  broken(func(t *verifier.Target) { t.Custom = []byte(`{"ota":1.5}`) }),
	} {
		choice := f.m.Lookup(mapped)
		if err := choice.Supply("a", found, nil); !errors.Is(err, verifier.ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
