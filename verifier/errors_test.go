package verifier_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

func TestMetadataError_SaysWhatWhereExpectedAndSeen(t *testing.T) {
	tests := []struct {
		err  *verifier.MetadataError
		want string
	}{
		{&verifier.MetadataError{Role: "timestamp", Version: 3, Section: "5.4.3.1", Want: "version 7 or higher", Got: "3", Err: verifier.ErrRollback},
			"timestamp version 3: older than what is trusted (TUF 5.4.3.1): want version 7 or higher, got 3"},
		{&verifier.MetadataError{Role: "targets", Path: "a b", Section: "4.5", Want: "a length", Got: "null", Err: verifier.ErrMalformed},
			`target "a b" in targets: malformed (TUF 4.5): want a length, got null`},
		{&verifier.MetadataError{Role: "a\nb\x1b[31m", Want: "x", Err: verifier.ErrMalformed}, `"a\nb\x1b[31m": malformed: want x`},
		{&verifier.MetadataError{Role: "", Err: verifier.ErrMalformed}, `"": malformed`},
		{&verifier.MetadataError{Path: "x", Section: "5.7.2"}, `target "x" (TUF 5.7.2)`},
		{&verifier.MetadataError{Role: strings.Repeat("r", 200)}, `"` + strings.Repeat("r", 80) + `"...`},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// The place of a fault in a file is named, too: path and offset.
func TestMetadataError_NamesThePlaceInTheFile(t *testing.T) {
	tests := []struct {
		role  string
		edit  func(tuftest.Object)
		wants []string
	}{
		{"timestamp", set("expires", "tomorrow"), []string{"timestamp", "expires", "YYYY-MM-DD", `"tomorrow"`, "byte"}},
		{"root", func(o tuftest.Object) { object(o, "roles", "snapshot")["threshold"] = 0 }, []string{"root version 2", "roles", "snapshot.threshold", "1 or more", "0"}},
		{"snapshot", func(o tuftest.Object) { object(o, "meta", "targets.json")["version"] = "1" }, []string{"snapshot", `meta["targets.json"].version`, `"1"`}},
		{"targets", without("targets"), []string{"targets", "a member targets", "none"}},
	}
	for _, test := range tests {
		repo, client := newDevice()
		edit(repo, test.role, test.edit)
		_, err := client.Refresh()
		if err == nil {
			t.Fatalf("%s was accepted", test.role)
		}
		for _, want := range test.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

// Hostile text in an error is quoted and bounded.
func TestMetadataError_IsSafeToPrint(t *testing.T) {
	repo, client := newDevice()
	name := "\x1b[2J" + strings.Repeat("\n", 1_000) // longer ones are refused before
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: name, Paths: []string{"*"}}).By = ed25519s("stranger")
	_, err := client.Find("x")
	if !errors.Is(err, verifier.ErrUnsigned) {
		t.Fatal(err)
	}
	if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\x1b\n") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}

// Every refusal that the code makes says what was expected and what came: no call leaves one of them empty.
func TestMetadataError_NoRefusalIsMerelyInvalid(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fileSet := token.NewFileSet()
		parsed, err := parser.ParseFile(fileSet, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			// refuse(class, section, want, got); a decoder's Refuse(want) adds what came.
			if name := calledName(call); name != "refuse" && name != "Refuse" {
				return true
			}
			calls++
			for _, arg := range call.Args {
				if text, ok := arg.(*ast.BasicLit); ok && text.Value == `""` {
					t.Errorf("%s: a refusal leaves out what was expected, what came, or its section", fileSet.Position(call.Pos()))
				}
			}
			return true
		})
	}
	if calls < 40 {
		t.Errorf("found %d refusals only: look at this test", calls)
	}
}

// calledName is the name of the function or method that is called, without what it belongs to.
func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// A file that can't be had is named with the version that was asked for.
func TestMetadataError_NamesTheVersionOfWhatCannotBeHad(t *testing.T) {
	for role, name := range map[string]string{verifier.Snapshot: "1.snapshot.json", verifier.Targets: "1.targets.json"} {
		repo, client := newDevice()
		broken := errors.New("connection reset")
		repo.Override[name] = func() verifier.Answer { return verifier.Failed(broken) }
		_, err := client.Refresh()
		e, ok := errors.AsType[*verifier.MetadataError](err)
		if !ok || !errors.Is(err, broken) || e.Role != role || e.Version != 1 {
			t.Errorf("got %v, want the failure to get version 1 of %s", err, role)
		}
	}
}
