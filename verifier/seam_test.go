package verifier_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// newScheme is a key as TAP 21 describes it, which signs by a scheme that this verifier does not know yet.
func newScheme(name string) *tuftest.Key {
	key := tuftest.Ed25519(name).With(func(e tuftest.Object) {
		e["keytype"], e["scheme"] = "ml-dsa", "ml-dsa-65"
		e["keyval"] = tuftest.Object{"public": strings.Repeat("ab", 1952)}
	})
	key.Sign = func([]byte) []byte { return make([]byte, 3309) }
	return key
}

// A repository moves to a new kind of signature while devices in the field know only the old one: first both sign, then, once
// devices were updated, the old keys go. A device that was not updated stops there, with a plain refusal, and keeps
// what it trusts.
func TestB11_ANewSchemeArrivesBesideTheOld(t *testing.T) {
	for _, role := range []string{verifier.Root, verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
		repo, client := newDevice()
		old, next := repo.Grants[role].Keys[0], newScheme("next")
		repo.Targets().Add("x", []byte("x"))
		grant(repo, role, 1, old, next)
		if _, err := client.Find("x"); err != nil {
			t.Errorf("%s signed by both: %v", role, err)
		}
		repo.Publish(verifier.Targets)
		if _, err := client.Find("x"); err != nil {
			t.Errorf("%s signed by both, again: %v", role, err)
		}
		trusted := client.Store.Clone()
		grant(repo, role, 1, next)
		repo.Publish(verifier.Targets)
		refused(t, client, role, verifier.ErrUnsigned)
		if string(client.Store.Role(verifier.Targets)) != string(trusted.Role(verifier.Targets)) {
			t.Errorf("%s: a device that does not know the new scheme lost what it trusts", role)
		}
	}
}

// An unknown scheme counts for nothing: it can't help to meet a threshold.
func TestB11_AnUnknownSchemeCountsForNothing(t *testing.T) {
	repo, client := newDevice()
	grant(repo, verifier.Timestamp, 2, repo.Grants[verifier.Timestamp].Keys[0], newScheme("next"))
	refused(t, client, verifier.Timestamp, verifier.ErrUnsigned)
	d := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"},
		Grant: tuftest.Grant{Keys: []*tuftest.Key{newScheme("next")}, Threshold: 1}})
	d.Add("x", []byte("x"))
	repo.Grants[verifier.Timestamp].Threshold = 1
	repo.PublishRoot()
	_, err := client.Find("x")
	wantRefusal(t, err, "d", verifier.ErrUnsigned)
}

// The seam: the verifier's code names a scheme in one function, which maps it to a key. Adding one touches that alone.
func TestB11_SchemesAreNamedInOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, _ := decl.(*ast.FuncDecl)
			for _, scheme := range schemesIn(decl) {
				if f == nil || f.Name.Name != "newKey" && scheme != "ed25519" { // which is a key type, too
					t.Errorf("%s names the scheme %s", file, scheme)
				}
				cases++
			}
		}
	}
	if cases < 6 {
		t.Errorf("found %d schemes, want all six", cases)
	}
}

// schemesIn lists the text literals in a declaration that look like a scheme's name.
func schemesIn(decl ast.Decl) []string {
	var found []string
	ast.Inspect(decl, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, _ := strconv.Unquote(literal.Value)
			for _, family := range []string{"ed25519", "ecdsa-", "rsassa-", "rsa-"} {
				if strings.HasPrefix(text, family) {
					found = append(found, text)
					break
				}
			}
		}
		return true
	})
	return found
}
