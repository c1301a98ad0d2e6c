package verifier

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
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

// RSA keys longer than 8192 bits, or with a larger exponent than everybody's, are unusable, as is an entry that is longer than
// any key.
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
		d, err := readDelegations(parsed(t, roles(count)), DefaultLimits())
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
	d, err := readDelegations(parsed(t, classes), DefaultLimits())
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
		if _, err := readDelegations(parsed(t, c.within), limits); err != nil {
			t.Errorf("%s, within: %v", name, err)
		}
		if _, err := readDelegations(parsed(t, c.beyond), limits); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("%s, beyond: %v", name, err)
		}
	}
}

// A search that is over keeps neither the keys of roles that it never came to nor those of the one that lists the target: the
// agent keeps all searches of a refresh until its end.
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
