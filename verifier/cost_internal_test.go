package verifier

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

func parsed(t *testing.T, text string) strict.Value {
	t.Helper()
	v, err := strict.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// RSA keys longer than 8192 bits, or with a larger exponent than everybody's, are unusable, as is an entry
// that is longer than any key.
func TestL2_KeysThatBurnTimeAreUnusable(t *testing.T) {
	entry := func(bits, exponent, padding int) string {
		n := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), uint(bits-1)), big.NewInt(1))
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: exponent})
		if err != nil {
			t.Fatal(err)
		}
		public, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"key":{"keytype":"rsa","keyval":{"public":%s},"scheme":"rsassa-pss-sha256","x":%q}}`, public, strings.Repeat("x", padding))
	}
	for name, c := range map[string]struct {
		entry  string
		usable bool
	}{
		"8192 bits":             {entry(8192, 65537, 0), true},
		"8192 bits, exponent 3": {entry(8192, 3, 0), true},
		"8193 bits":             {entry(8193, 65537, 0), false},
		"16384 bits":            {entry(16384, 65537, 0), false},
		"exponent 65539":        {entry(2048, 65539, 0), false},
		"exponent 2^31-1":       {entry(2048, 1<<31-1, 0), false},
		"an entry of 17 KiB":    {entry(2048, 65537, 17<<10), false},
	} {
		ring := keyRing{}
		g := grant{keyIDs: []string{"key"}, threshold: 1}
		ring.name(g)
		ring.read(parsed(t, c.entry))
		if got := len(ring.signers(g).keys) == 1; got != c.usable {
			t.Errorf("%s: usable %v, want %v", name, got, c.usable)
		}
	}
}

// A search compares a bounded number of characters, whatever patterns a delegator has.
func TestL3_PatternsAreMatchedInBoundedSteps(t *testing.T) {
	path := "vendor/" + strings.Repeat("a", 400)
	pattern := `"*/` + strings.Repeat("*a", 300) + `b",`
	roles := func(count int) string {
		return `{"keys":{},"roles":[{"keyids":[],"name":"r","paths":[` + strings.Repeat(pattern, count) + `"*/a*"],"threshold":1}]}`
	}
	for count, class := range map[int]error{100: nil, 50_000: ErrLimitExceeded} {
		d, err := readDelegations(parsed(t, roles(count)), DefaultLimits(), false)
		if err != nil {
			t.Fatal(err)
		}
		m := newPathMatch(path)
		found, err := d.rolesFor(m, 32, DefaultLimits())
		if !errors.Is(err, class) || err == nil && len(found) != 1 {
			t.Errorf("%d patterns: %d roles, %v", count, len(found), err)
		}
		if overdrawn := -m.steps; overdrawn > 2*PatternBytesMax {
			t.Errorf("%d patterns: %d steps beyond the bound", count, overdrawn)
		}
	}
	classes := `{"keys":{},"roles":[{"keyids":[],"name":"r","paths":[` + strings.Repeat(`"*/*[`+strings.Repeat("b", 1000)+`]",`, 2000) + `""],"threshold":1}]}`
	d, err := readDelegations(parsed(t, classes), DefaultLimits(), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.rolesFor(newPathMatch(path), 32, DefaultLimits()); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("long classes: %v", err)
	}
}

// Whoever delegates to thousands of roles makes a search hold as many as it can visit.
func TestL3_RolesThatWaitAreBounded(t *testing.T) {
	s := &Search{refresh: &Refresh{limits: DefaultLimits()}, visited: map[string]bool{"a": true, "b": true}}
	var waiting []step
	for i := range 5000 {
		waiting = append(waiting, step{role: fmt.Sprint(i % 2500)}, step{role: "a"})
	}
	kept := s.trim(waiting)
	if len(kept) != 31 || kept[30].role != "2499" || kept[0].role != "2469" {
		t.Errorf("%d roles wait, from %s to %s", len(kept), kept[0].role, kept[len(kept)-1].role)
	}
}

// Row L2: each bound of a document, just within and just beyond.
func TestL2_EachBoundOfADocument(t *testing.T) {
	list := func(count int, format string) string {
		var b strings.Builder
		for i := range count {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	role := func(paths string) string { return `{"keyids":[],"name":"r%d","paths":[` + paths + `],"threshold":1}` }
	delegations := func(keys, roles string) string { return `{"keys":{` + keys + `},"roles":[` + roles + `]}` }
	limits := DefaultLimits()
	for name, c := range map[string]struct{ within, beyond string }{
		"keys":  {delegations(list(limits.Keys, `"%06d":{}`), ""), delegations(list(limits.Keys+1, `"%06d":{}`), "")},
		"roles": {delegations("", list(DelegatedRolesMax, role(""))), delegations("", list(DelegatedRolesMax+1, role("")))},
		"patterns": {
			delegations("", list(2, role(strings.Repeat(`"a",`, PatternsMax/2-1)+`"a"`))),
			delegations("", list(2, role(strings.Repeat(`"a",`, PatternsMax/2)+`"a"`)))},
		"pattern bytes": {
			delegations("", list(1, role(`"`+strings.Repeat("a", PatternBytesMax-2)+`"`))),
			delegations("", list(1, role(`"`+strings.Repeat("a", PatternBytesMax)+`"`)))},
		"key IDs of a role": {
			delegations("", `{"keyids":[`+list(limits.Signatures, `"%d"`)+`],"name":"r","threshold":1}`),
			delegations("", `{"keyids":[`+list(limits.Signatures+1, `"%d"`)+`],"name":"r","threshold":1}`)},
		"key ID bytes": {
			delegations("", `{"keyids":["`+strings.Repeat("k", KeyIDBytesMax)+`"],"name":"r","threshold":1}`),
			delegations("", `{"keyids":["`+strings.Repeat("k", 6*KeyIDBytesMax+1)+`"],"name":"r","threshold":1}`)},
	} {
		if _, err := readDelegations(parsed(t, c.within), limits, false); err != nil {
			t.Errorf("%s, within: %v", name, err)
		}
		if _, err := readDelegations(parsed(t, c.beyond), limits, false); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("%s, beyond: %v", name, err)
		}
	}
}

// A search that is over keeps neither the keys of roles that it never came to nor those of the one that lists
// the target: the agent keeps all searches of a refresh until its end.
func TestL1_AFinishedSearchKeepsNoKeys(t *testing.T) {
	targets := func(text string) *targetsRole {
		return &targetsRole{document: &document{role: "d", version: 1}, targets: parsed(t, text)}
	}
	s := &Search{refresh: &Refresh{limits: DefaultLimits(), root: &rootRole{}}, path: "x", match: newPathMatch("x"),
		visited: map[string]bool{}, waiting: make([]step, 30)}
	entry := `{"x":{"hashes":{"sha256":"` + strings.Repeat("ab", 32) + `"},"length":1}}`
	by := signers{keys: map[string]publicKey{"k": {hash: KeyHash{1}}}, threshold: 1}
	if err := s.visit(targets(entry), by, s.refresh.now); err != nil || s.found == nil {
		t.Fatal(err)
	}
	if len(s.waiting) != 0 || !s.Holds(Floor{Version: 1, Signers: []KeyHash{{1}}}) || s.Holds(Floor{Version: 1, Signers: []KeyHash{{2}}}) {
		t.Errorf("%d roles wait, voters are %v", len(s.waiting), s.voters)
	}
	s.waiting, s.then = make([]step, 30), func(Answer) (Change, error) { return Change{}, errors.New("fails") }
	if _, err := s.Supply(Absent()); err == nil || len(s.waiting) != 0 {
		t.Errorf("%d roles wait after %v", len(s.waiting), err)
	}
}

// Each bound stands in the manual, with its reason.
func TestL2_BoundsAreDocumented(t *testing.T) {
	manual, err := os.ReadFile("../docs/publishing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "## What devices accept")
	section, _, _ = strings.Cut(section, "\n## ")
	d := DefaultLimits()
	for name, text := range map[string]string{
		"RootRotations": fmt.Sprint(d.RootRotations), "RootBytes": grouped(d.RootBytes), "TimestampBytes": grouped(d.TimestampBytes),
		"SnapshotBytes": grouped(d.SnapshotBytes), "TargetsBytes": grouped(d.TargetsBytes),
		"StatedSnapshotBytes": fmt.Sprintf("%d MiB", d.StatedSnapshotBytes>>20), "StatedBytes": fmt.Sprintf("%d MiB", d.StatedBytes>>20),
		"Signatures": fmt.Sprint(d.Signatures), "Keys": grouped(int64(d.Keys)), "SearchRoles": fmt.Sprintf("| %d,", d.SearchRoles),
		"SearchBytes": fmt.Sprintf("%d MiB", d.SearchBytes>>20), "CheckedBytes": fmt.Sprintf("%d MiB", d.CheckedBytes>>20), "Checks": grouped(int64(d.Checks)),
		"RoleNameBytesMax": grouped(RoleNameBytesMax), "KeyIDBytesMax": grouped(KeyIDBytesMax), "KeyBytesMax": fmt.Sprintf("%d KiB", KeyBytesMax>>10),
		"PatternBytesMax": grouped(PatternBytesMax), "PatternsMax": grouped(PatternsMax), "DelegatedRolesMax": grouped(DelegatedRolesMax),
		"MatchStepsMax": grouped(MatchStepsMax), "KeysParsedMax": grouped(KeysParsedMax), "CustomBytesMax": fmt.Sprintf("%d MiB", CustomBytesMax>>20), "rsaBitsMax": fmt.Sprint(rsaBitsMax),
		"rsaExponentMax": fmt.Sprint(rsaExponentMax), "DepthMax": fmt.Sprintf("| %d |", strict.DepthMax),
		"signatureBytesMax": fmt.Sprintf("%d KiB", signatureBytesMax>>10), "hashedTimes": fmt.Sprintf("%d at any length", hashedTimes),
		"hashedFree": fmt.Sprintf("%d up to %d KiB", d.Signatures, hashedFree/d.Signatures>>10),
	} {
		if !strings.Contains(section, text) {
			t.Errorf("docs/publishing.md does not show %s as %q", name, text)
		}
	}
}

// grouped is a number with commas: 1,024.
func grouped(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

// A vendor's file may name thousands of keys for the roles that share a path: they are parsed at each search
// that comes there, up to a bound for the whole refresh.
func TestL3_ParsedKeysAreBounded(t *testing.T) {
	var ids, keys strings.Builder
	for i := range 256 {
		fmt.Fprintf(&ids, `%s"%d"`, strings.Repeat(",", min(i, 1)), i)
		fmt.Fprintf(&keys, `%s"%d":{"keytype":"ed25519","keyval":{"public":"%064x"},"scheme":"ed25519"}`, strings.Repeat(",", min(i, 1)), i, i)
	}
	text := `{"keys":{` + keys.String() + `},"roles":[{"keyids":[` + ids.String() + `],"name":"r","paths":["*"],"threshold":1}]}`
	d, err := readDelegations(parsed(t, text), DefaultLimits(), false)
	if err != nil {
		t.Fatal(err)
	}
	r := &Refresh{limits: DefaultLimits(), snapshot: &snapshotRole{}}
	visit := func() error {
		s := &Search{refresh: r, path: "x", match: newPathMatch("x"), visited: map[string]bool{}}
		return s.visit(&targetsRole{document: &document{role: "d"}, targets: parsed(t, `{}`), delegations: d}, signers{}, r.now)
	}
	visits := 0
	for err = visit(); !errors.Is(err, ErrLimitExceeded) && visits < 1000; err = visit() { // malformed: no snapshot lists r
		visits++
	}
	if visits != KeysParsedMax/256 {
		t.Errorf("%d visits with 256 keys each, want %d (%v)", visits, KeysParsedMax/256, err)
	}
}
