package verifier_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// visits refreshes, then searches, and returns which roles the search asked the repository for.
func visits(t *testing.T, repo *tuftest.Repository, client *tuftest.Client, path string) ([]string, verifier.Found, error) {
	t.Helper()
	refresh := refreshed(t, client)
	repo.Asked()
	found, err := client.FindIn(refresh, path)
	var roles []string
	for _, name := range repo.Asked() {
		_, role, _ := strings.Cut(strings.TrimSuffix(name, ".json"), ".")
		roles = append(roles, role)
	}
	return roles, found, err
}

// F1, F2: a delegated role is checked exactly as the top-level one is.
func TestF1F2_TargetsRolesAreChecked(t *testing.T) {
	type story struct {
		name  string
		spoil func(*tuftest.Repository, *tuftest.Role)
		class error
	}
	metaEdit := func(change func(tuftest.Object)) func(*tuftest.Repository, *tuftest.Role) {
		return func(r *tuftest.Repository, role *tuftest.Role) { r.Snapshot.Edit = metaOf(role.Name+".json", change) }
	}
	stories := []story{
		{"longer than stated", metaEdit(set("length", 10)), verifier.ErrLimitExceeded},
		{"shorter than stated", metaEdit(set("length", 99_999)), verifier.ErrLengthMismatch},
		{"stated length absurd", metaEdit(set("length", int64(1)<<40)), verifier.ErrLimitExceeded},
		{"another hash", metaEdit(set("hashes", tuftest.Object{"sha256": strings.Repeat("0", 64)})), verifier.ErrHashMismatch},
		{"no known hash", metaEdit(set("hashes", tuftest.Object{"crc": "00"})), verifier.ErrUnsupported},
		{"endless", func(_ *tuftest.Repository, r *tuftest.Role) {
			r.Tamper = func(b []byte) []byte { return append(b, make([]byte, 5_000_000)...) }
		}, verifier.ErrLimitExceeded},
		{"unsigned", func(_ *tuftest.Repository, r *tuftest.Role) { r.By = []*tuftest.Key{} }, verifier.ErrUnsigned},
		{"signed by a stranger", func(_ *tuftest.Repository, r *tuftest.Role) { r.By = ed25519s("stranger") }, verifier.ErrUnsigned},
		{"another version", func(_ *tuftest.Repository, r *tuftest.Role) { r.Edit = set("version", 2) }, verifier.ErrVersionMismatch},
		{"expired", func(_ *tuftest.Repository, r *tuftest.Role) { r.Expires = tuftest.Start() }, verifier.ErrExpired},
		{"another type", func(_ *tuftest.Repository, r *tuftest.Role) { r.Edit = set("_type", r.Name+"x") }, verifier.ErrMalformed},
		{"not there", func(r *tuftest.Repository, role *tuftest.Role) {
			r.Override[verifier.FileName(role.Name, 1)] = verifier.Absent
		}, verifier.ErrAbsent},
	}
	for _, role := range []string{verifier.Targets, "d"} {
		for _, s := range stories {
			t.Run(role+" "+s.name, func(t *testing.T) {
				repo, client := newDevice()
				repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
				s.spoil(repo, repo.Roles[role])
				_, err := client.Find("x")
				wantRefusal(t, err, role, s.class)
				wantStored(t, client, role, 0)
			})
		}
	}
}

func TestF3F4_SearchIsPreOrderDepthFirst(t *testing.T) {
	type edge struct {
		from, to    string
		paths       []string
		terminating bool
	}
	all := []string{"*"}
	tests := []struct {
		name  string
		edges []edge
		want  []string
	}{
		{"one", []edge{{"targets", "A", all, false}}, []string{"A"}},
		{"order of appearance", []edge{{"targets", "B", all, false}, {"targets", "A", all, false}}, []string{"B", "A"}},
		{"depth first", []edge{{"targets", "A", all, false}, {"targets", "B", all, false}, {"A", "C", all, false}, {"A", "D", all, false}, {"C", "E", all, false}},
			[]string{"A", "C", "E", "D", "B"}},
		{"terminating ends its siblings and all above", []edge{{"targets", "A", all, false}, {"targets", "B", all, false}, {"A", "C", all, true}, {"A", "D", all, false}, {"C", "E", all, false}},
			[]string{"A", "C", "E"}},
		{"siblings before a terminating one are searched", []edge{{"targets", "A", all, false}, {"targets", "B", all, true}, {"targets", "C", all, false}},
			[]string{"A", "B"}},
		{"terminating that doesn't match ends nothing", []edge{{"targets", "A", []string{"y"}, true}, {"targets", "B", all, false}}, []string{"B"}},
		{"what doesn't match is not fetched", []edge{{"targets", "A", []string{"*.py"}, false}, {"targets", "B", all, false}, {"A", "C", all, false}}, []string{"B"}},
		{"cycle", []edge{{"targets", "A", all, false}, {"A", "B", all, false}, {"B", "C", all, false}, {"C", "A", all, false}, {"C", "C", all, false}}, []string{"A", "B", "C"}},
		{"diamond", []edge{{"targets", "A", all, false}, {"targets", "B", all, false}, {"B", "C", all, false}, {"A", "C", all, false}}, []string{"A", "C", "B"}},
		{"diamond with other paths", []edge{{"targets", "A", all, false}, {"targets", "B", all, false}, {"B", "C", all, false}, {"A", "C", []string{"*.py"}, false}},
			[]string{"A", "B", "C"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			repo, client := newDevice()
			for _, e := range test.edges {
				if repo.Roles[e.from] == nil {
					t.Fatalf("no role %s", e.from)
				}
				repo.Delegate(e.from, tuftest.Delegation{Name: e.to, Paths: e.paths, Terminating: e.terminating})
			}
			got, _, err := visits(t, repo, client, "missing")
			if !errors.Is(err, verifier.ErrNotListed) {
				t.Errorf("got %v", err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("visited %q, want %q", got, test.want)
			}
			// All of them are stored now, and verified again without a request.
			if got, _, err := visits(t, repo, client, "missing"); len(got) != 0 || !errors.Is(err, verifier.ErrNotListed) {
				t.Errorf("the second search visited %q: %v", got, err)
			}
		})
	}
}

// The first role that lists the target wins; what comes after is not even fetched.
func TestF3_TheFirstRoleThatListsTheTargetWins(t *testing.T) {
	repo, client := newDevice()
	for i, name := range []string{"A", "B", "C"} {
		role := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: name, Paths: []string{"*"}})
		if i > 0 {
			role.Add("x", []byte(name))
		}
	}
	got, found, err := visits(t, repo, client, "x")
	if err != nil || found.Role != "B" || !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("visited %q, found in %q: %v", got, found.Role, err)
	}
	repo.Targets().Add("x", []byte("targets"))
	repo.Publish(verifier.Targets)
	if got, found, err := visits(t, repo, client, "x"); err != nil || found.Role != verifier.Targets || len(got) != 0 {
		t.Errorf("visited %q, found in %q: %v", got, found.Role, err)
	}
}

func TestF5_AtMost32RolesASearch(t *testing.T) {
	for _, n := range []int{32, 33} {
		repo, client := newDevice()
		from := verifier.Targets
		for i := range n {
			name := fmt.Sprintf("r%d", i)
			repo.Delegate(from, tuftest.Delegation{Name: name, Paths: []string{"*"}})
			from = name
		}
		repo.Roles[from].Add("x", []byte("x"))
		got, found, err := visits(t, repo, client, "x")
		if n == 32 && (err != nil || found.Role != "r31") {
			t.Errorf("%d roles: found in %q: %v", n, found.Role, err)
		}
		if n == 33 && !errors.Is(err, verifier.ErrLimitExceeded) {
			t.Errorf("%d roles: %v", n, err)
		}
		if len(got) != 32 {
			t.Errorf("%d roles visited", len(got))
		}
	}
	// Wide instead of deep; and exactly the limit is no reason to speak of one.
	repo, client := newDevice()
	for i := range 40 {
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: fmt.Sprintf("r%d", i), Paths: []string{"*"}})
	}
	if got, _, err := visits(t, repo, client, "x"); len(got) != 32 || !errors.Is(err, verifier.ErrLimitExceeded) {
		t.Errorf("%d roles visited: %v", len(got), err)
	}
	repo.Targets().Delegations = repo.Targets().Delegations[:32]
	repo.Publish(verifier.Targets)
	if _, _, err := visits(t, repo, client, "x"); !errors.Is(err, verifier.ErrNotListed) {
		t.Errorf("got %v", err)
	}
}

// chained is a repository of three delegated roles in a row, of which the last lists x, and their files' lengths.
func chained() (repo *tuftest.Repository, client *tuftest.Client, lengths []int64) {
	repo, client = newDevice()
	from := verifier.Targets
	for _, name := range []string{"r0", "r1", "r2"} {
		repo.Delegate(from, tuftest.Delegation{Name: name, Paths: []string{"*"}})
		from = name
	}
	repo.Roles[from].Add("x", []byte("x"))
	repo.Targets().Edit = set("filler", strings.Repeat("f", 100_000)) // the top-level role does not count
	for _, name := range []string{"r0", "r1", "r2"} {
		lengths = append(lengths, int64(len(repo.RoleFile(name))))
	}
	return repo, client, lengths
}

// wantBytesBound checks that a search was refused at a role for its bytes, and says so.
func wantBytesBound(t *testing.T, err error, role string, bytesMax int64) {
	t.Helper()
	wantRefusal(t, err, role, verifier.ErrLimitExceeded)
	e, _ := errors.AsType[*verifier.MetadataError](err)
	if e.Path != "x" || e.Section != "5.6.7.1" || !strings.Contains(e.Want, fmt.Sprintf("%d bytes of delegated roles", bytesMax)) {
		t.Errorf("path %q: %v; want the bound of %d bytes", e.Path, err, bytesMax)
	}
}

// A role that can't be within the bound is not even asked for. Stored files count as fetched ones do, so that the same
// repository gets the same answer from each device, and each time.
func TestF5_ASearchIsBoundedInBytes(t *testing.T) {
	for _, stated := range []bool{true, false} {
		for missing := range int64(2) {
			t.Run(fmt.Sprintf("lengths stated: %t, %d bytes missing", stated, missing), func(t *testing.T) {
				repo, client, lengths := chained()
				repo.MetaHashes = stated
				all := lengths[0] + lengths[1] + lengths[2]
				client.Limits.SearchBytes = all
				if _, _, err := visits(t, repo, client, "x"); err != nil {
					t.Fatal(err)
				}
				client.Limits.SearchBytes = all - missing
				got, found, err := visits(t, repo, client, "x") // now from the store
				if missing == 0 && (err != nil || found.Role != "r2") {
					t.Errorf("from the store: found in %q: %v", found.Role, err)
				}
				if missing > 0 {
					wantBytesBound(t, err, "r2", all-missing)
				}
				if len(got) != 0 {
					t.Errorf("stored roles were asked for: %q", got)
				}
			})
		}
	}
}

// Of what is not stored no more is asked for than is left, stated or not.
func TestF5_NoMoreIsAskedForThanIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stated bool
		left   int64 // for the last role, beyond its length
		asked  bool
		class  error
	}{
		{"it just fits", true, 0, true, nil},
		{"it is stated to be too long", true, -1, false, verifier.ErrLimitExceeded},
		{"it may be shorter than the limit of a file", false, 5, true, nil},
		{"it turns out to be too long", false, -1, true, verifier.ErrLimitExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			repo, client, lengths := chained()
			repo.MetaHashes = tt.stated
			left := lengths[2] + tt.left
			client.Limits.SearchBytes = lengths[0] + lengths[1] + left
			refresh, asked := refreshed(t, client), false
			search := refresh.Find("x")
			err := verifier.Drive(search, func(q verifier.Request) verifier.Answer {
				if q.Source == verifier.Stored {
					return client.Store.Answer(q.Key)
				}
				if q.Key.Role == "r2" {
					asked = true
					if q.BytesMax > left {
						t.Errorf("%d bytes are asked for, %d are left", q.BytesMax, left)
					}
				}
				return repo.Answer(q.Name)
			}, client.Store.Commit)
			if err == nil {
				_, err = search.Found()
			}
			if asked != tt.asked || !errors.Is(err, tt.class) || errors.Is(err, verifier.ErrLengthMismatch) {
				t.Errorf("asked: %t, want %t; error %v, want class %v", asked, tt.asked, err, tt.class)
			}
			if tt.class != nil && !tt.asked {
				wantBytesBound(t, err, "r2", client.Limits.SearchBytes)
			}
			if tt.class != nil {
				wantStored(t, client, "r2", 0)
			}
		})
	}
	// Nothing is left for a role of unknown length: it is not asked for in vain.
	repo, client, lengths := chained()
	client.Limits.SearchBytes = lengths[0] + lengths[1]
	got, _, err := visits(t, repo, client, "x")
	wantBytesBound(t, err, "r2", client.Limits.SearchBytes)
	if !slices.Equal(got, []string{"r0", "r1"}) {
		t.Errorf("asked for %q", got)
	}
}

// The default, against a vendor whose snapshot entries are as long as a single file may be: the first is asked for, and
// none after it.
func TestF5_AtMost64MiBASearch(t *testing.T) {
	repo, client, _ := chained()
	repo.Snapshot.Edit = metaOf("r1.json", set("length", int64(64<<20)))
	got, _, err := visits(t, repo, client, "x")
	wantBytesBound(t, err, "r1", 64<<20)
	if !slices.Equal(got, []string{"r0"}) {
		t.Errorf("asked for %q", got)
	}
}

// A role that can't be had ends the search: going on would let a mirror choose who answers.
func TestF6_ARoleThatCannotBeHadEndsTheSearch(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "first", Paths: []string{"*"}})
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "second", Paths: []string{"*"}}).Add("x", []byte("x"))
	lost := errors.New("link lost")
	repo.Override["1.first.json"] = func() verifier.Answer { return verifier.Failed(lost) }
	if _, _, err := visits(t, repo, client, "x"); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	clear(repo.Override)
	if _, found, err := visits(t, repo, client, "x"); err != nil || found.Role != "second" {
		t.Errorf("a failed search left a mark: %q, %v", found.Role, err)
	}
}

// C is reached through A and through B, which list different keys for it. It is signed for B only.
func TestF7_ADiamondIsVerifiedAgainstTheDelegatorThatLeadsToIt(t *testing.T) {
	repo, client := newDevice()
	forA, forB := tuftest.Ed25519("for-a"), tuftest.Ed25519("for-b")
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "A", Paths: []string{"a"}})
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "B", Paths: []string{"b"}})
	c := repo.Delegate("A", tuftest.Delegation{Name: "C", Paths: []string{"*"}, Grant: tuftest.Grant{Keys: []*tuftest.Key{forA}, Threshold: 1}})
	repo.Delegate("B", tuftest.Delegation{Name: "C", Paths: []string{"*"}, Grant: tuftest.Grant{Keys: []*tuftest.Key{forB}, Threshold: 1}})
	c.Add("a", []byte("a"))
	c.Add("b", []byte("b"))
	c.By = []*tuftest.Key{forB}
	if _, err := client.Find("b"); err != nil {
		t.Fatalf("through B: %v", err)
	}
	// The local copy was verified for B. That does not make it A's.
	_, err := client.Find("a")
	wantRefusal(t, err, "C", verifier.ErrUnsigned)
	if client.Store.Role("C") == nil {
		t.Error("B's copy was dropped on A's account")
	}
	if _, err := client.Find("b"); err != nil {
		t.Errorf("through B again: %v", err)
	}
	// Two searches of one refresh don't mix either.
	refresh := refreshed(t, client)
	if _, err := client.FindIn(refresh, "b"); err != nil {
		t.Error(err)
	}
	if _, err := client.FindIn(refresh, "a"); !errors.Is(err, verifier.ErrUnsigned) {
		t.Errorf("got %v", err)
	}
}

// A revoked delegation key: the new delegator's keys decide at once, over the local copy too.
func TestF7_ARevokedDelegationIsVoidAtOnce(t *testing.T) {
	repo, client := newDevice()
	d := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}})
	d.Add("x", []byte("x"))
	if _, err := client.Find("x"); err != nil {
		t.Fatal(err)
	}
	repo.Targets().Delegations[0].Keys = ed25519s("new-d")
	repo.Publish(verifier.Targets)
	_, err := client.Find("x")
	wantRefusal(t, err, "d", verifier.ErrUnsigned)
	d.By = ed25519s("new-d")
	if _, err := client.Find("x"); err != nil {
		t.Error(err)
	}
}

func TestF9_ATargetIsInThePathsOfEveryRoleOnItsChain(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "B", Paths: []string{"releases/*/*"}})
	repo.Delegate("B", tuftest.Delegation{Name: "C", Paths: []string{"releases/x/*"}}).Add("releases/x/a", []byte("a"))
	repo.Roles["C"].Add("releases/y/b", []byte("b"))
	repo.Roles["C"].Add("other", []byte("o"))
	if _, found, err := visits(t, repo, client, "releases/x/a"); err != nil || found.Role != "C" {
		t.Errorf("found in %q: %v", found.Role, err)
	}
	for _, path := range []string{"releases/y/b", "other"} {
		if _, _, err := visits(t, repo, client, path); !errors.Is(err, verifier.ErrNotListed) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestF10_PathHashPrefixesAreOfTheHexDigest(t *testing.T) {
	sum := sha256.Sum256([]byte("dir/x"))
	full := hex.EncodeToString(sum[:])
	tests := []struct {
		prefixes []string
		found    bool
	}{
		{[]string{full[:1]}, true}, {[]string{full[:7]}, true}, {[]string{full}, true}, {[]string{""}, true},
		{[]string{strings.ToUpper(full[:8])}, true}, {[]string{"zz", full[:3]}, true},
		{[]string{full[1:4] + "g"}, false}, {[]string{full + "0"}, false}, {[]string{}, false},
	}
	for _, test := range tests {
		repo, client := newDevice()
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Prefixes: test.prefixes}).Add("dir/x", []byte("x"))
		_, err := client.Find("dir/x")
		if test.found != (err == nil) || !test.found && !errors.Is(err, verifier.ErrNotListed) {
			t.Errorf("prefixes %q: %v", test.prefixes, err)
		}
	}
}

// The names of bins are computed here the long way, digit by digit.
func TestF11_SuccinctRoles(t *testing.T) {
	for bits := 1; bits <= 32; bits++ {
		path := fmt.Sprintf("dir/file-%d", bits)
		sum := sha256.Sum256([]byte(path))
		binary := ""
		for _, b := range sum[:4] {
			binary += fmt.Sprintf("%08b", b)
		}
		var number uint64
		for _, digit := range binary[:bits] {
			number = number*2 + uint64(digit-'0')
		}
		digits := (bits + 3) / 4
		name := "bin-" + strings.Repeat("0", digits)
		text := fmt.Sprintf("%x", number)
		name = name[:len(name)-len(text)] + text

		repo, client := newDevice()
		key := tuftest.Ed25519("bins")
		repo.Targets().Bins = &tuftest.Bins{Grant: tuftest.Grant{Keys: []*tuftest.Key{key}, Threshold: 1}, Bits: bits, Prefix: "bin"}
		// The bin's file is made under another delegation's name, then the bins take over.
		bin := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: name, Grant: tuftest.Grant{Keys: []*tuftest.Key{key}, Threshold: 1}})
		bin.Add(path, []byte("x"))
		got, found, err := visits(t, repo, client, path)
		if err != nil || found.Role != name || !slices.Equal(got, []string{name}) {
			t.Errorf("%d bits: visited %q, found in %q, want %q: %v", bits, got, found.Role, name, err)
		}
	}
}

// A bin that lacks the target is the end, but not because bins were terminating: nothing comes after them.
func TestF11_BinsWithinADelegationAreNotTerminating(t *testing.T) {
	repo, client := newDevice()
	key := tuftest.Ed25519("bins")
	g := tuftest.Grant{Keys: []*tuftest.Key{key}, Threshold: 1}
	a := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "A", Paths: []string{"*"}})
	a.Bins = &tuftest.Bins{Grant: g, Bits: 1, Prefix: "bin"}
	repo.Delegate("A", tuftest.Delegation{Name: "bin-0", Grant: g})
	repo.Delegate("A", tuftest.Delegation{Name: "bin-1", Grant: g})
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "B", Paths: []string{"*"}}).Add("x", []byte("x"))
	got, found, err := visits(t, repo, client, "x")
	if err != nil || found.Role != "B" || len(got) != 3 {
		t.Errorf("visited %q, found in %q: %v", got, found.Role, err)
	}
}

func TestF12_RoleNamesAreEncodedAlikeForURLAndStore(t *testing.T) {
	names := map[string]string{
		"..": "1....json", ".": "1...json", "../d": "1...%2Fd.json", "/d": "1.%2Fd.json", "?": "1.%3F.json", "#": "1.%23.json",
		"%": "1.%25.json", "%2e": "1.%252e.json", "a b": "1.a%20b.json", "\x00": "1.%00.json", "\u00e9": "1.%C3%A9.json", "a\\b": "1.a%5Cb.json",
		"1.root": "1.1.root.json", "~-_": "1.~-_.json", "Root": "1.Root.json",
	}
	for role, file := range names {
		t.Run(file, func(t *testing.T) {
			repo, client := newDevice()
			repo.Delegate(verifier.Targets, tuftest.Delegation{Name: role, Paths: []string{"*"}}).Add("x", []byte("x"))
			refreshed(t, client)
			repo.Asked()
			found, err := client.Find("x")
			if err != nil || found.Role != role {
				t.Fatalf("found in %q: %v", found.Role, err)
			}
			if got := repo.Asked(); got[len(got)-1] != file {
				t.Errorf("asked for %q, want %q", got[len(got)-1], file)
			}
			if client.Store.Role(role) == nil {
				t.Error("not stored under its name")
			}
			if _, err := client.Find("x"); err != nil {
				t.Errorf("from the store: %v", err)
			}
			wantAsked(t, repo, "2.root.json", "timestamp.json")
		})
	}
}

func TestF13_TheSnapshotIsTheRollbackMemoryOfDelegatedRoles(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Version = 5
	refreshed(t, client) // the role itself was never fetched
	repo.Roles["d"].Version = 4
	repo.Publish()
	refused(t, client, verifier.Snapshot, verifier.ErrRollback)
}

func TestF14_RepositoriesWithoutConsistentSnapshots(t *testing.T) {
	repo := tuftest.New()
	repo.Consistent = false
	repo.Roots, repo.Root.Version = nil, 0
	repo.PublishRoot()
	client := tuftest.NewClient(repo)
	repo.Targets().Add("dir/x", []byte("x"))
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "a/b", Paths: []string{"*"}}).Add("y", []byte("y"))
	found, err := client.Find("dir/x")
	if err != nil || found.Target.Name != "dir/x" {
		t.Errorf("name %q: %v", found.Target.Name, err)
	}
	wantAsked(t, repo, "2.root.json", "timestamp.json", "snapshot.json", "targets.json")
	if _, err := client.Find("y"); err != nil {
		t.Error(err)
	}
	wantAsked(t, repo, "2.root.json", "timestamp.json", "a%2Fb.json")
}

func TestFound_SignersHoldsAndExpires(t *testing.T) {
	repo, client := newDevice()
	one, two, three := tuftest.Ed25519("one"), tuftest.Ed25519("two"), tuftest.Ed25519("three")
	a := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "A", Paths: []string{"*"}})
	a.Expires = tuftest.Start().Add(3 * day)
	d := repo.Delegate("A", tuftest.Delegation{Name: "d", Paths: []string{"*"}, Grant: tuftest.Grant{Keys: []*tuftest.Key{one, two, three}, Threshold: 2}})
	d.By = []*tuftest.Key{one, three}
	d.Add("x", []byte("x"))
	refresh := refreshed(t, client)
	search := refresh.Find("x")
	if _, err := search.Found(); !errors.Is(err, verifier.ErrUnfinished) {
		t.Errorf("found before it was searched: %v", err)
	}
	if search.Holds(verifier.Floor{Version: 1, Signers: []verifier.KeyHash{one.Hash(), two.Hash()}}) {
		t.Error("a floor holds before anything is known")
	}
	if err := client.Drive(search); err != nil {
		t.Fatal(err)
	}
	found, err := search.Found()
	want := []verifier.KeyHash{one.Hash(), three.Hash()}
	slices.SortFunc(want, func(a, b verifier.KeyHash) int { return bytes.Compare(a[:], b[:]) })
	if err != nil || !slices.Equal(found.Signers, want) || !found.Expires.Equal(tuftest.Start().Add(3*day)) {
		t.Errorf("found %+v: %v", found, err)
	}
	for _, test := range []struct {
		by   []*tuftest.Key
		want bool
	}{{[]*tuftest.Key{one, two}, true}, {[]*tuftest.Key{one}, false}, {[]*tuftest.Key{one, one}, false}, {ed25519s("x", "y"), false}, {nil, false},
		{[]*tuftest.Key{three, two, tuftest.Ed25519("x")}, true}} {
		floor := verifier.Floor{Version: 7}
		for _, key := range test.by {
			floor.Signers = append(floor.Signers, key.Hash())
		}
		if got := search.Holds(floor); got != test.want {
			t.Errorf("floor by %d keys holds: %v", len(test.by), got)
		}
	}
}

// G10: an image that is used long after its refresh is judged by when the metadata behind it expires.
func TestG10_FoundSaysWhenItExpires(t *testing.T) {
	for _, role := range []string{verifier.Root, verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
		repo := tuftest.New()
		soon := tuftest.Start().Add(time.Hour)
		switch role {
		case verifier.Root:
			repo.Root.Expires = soon
			repo.PublishRoot()
		case verifier.Timestamp:
			repo.Timestamp.Expires = soon
		case verifier.Snapshot:
			repo.Snapshot.Expires = soon
		default:
			repo.Targets().Expires = soon
		}
		repo.Targets().Add("x", []byte("x"))
		found, err := tuftest.NewClient(repo).Find("x")
		if err != nil || !found.Expires.Equal(soon) {
			t.Errorf("%s: expires %v: %v", role, found.Expires, err)
		}
	}
}

// Several searches in one refresh read the top-level file once.
func TestFind_SeveralSearchesOfOneRefresh(t *testing.T) {
	repo, client := newDevice()
	client.Limits.ReceiptBytes = 1
	repo.Targets().Add("x", []byte("x"))
	repo.Targets().Add("y", []byte("y"))
	refreshed(t, client)
	refresh := refreshed(t, client)
	client.Store.Asked = nil
	for _, path := range []string{"x", "y", "x"} {
		if _, err := client.FindIn(refresh, path); err != nil {
			t.Error(err)
		}
	}
	if len(client.Store.Asked) != 1 {
		t.Errorf("the store was asked for %v", client.Store.Asked)
	}
}
