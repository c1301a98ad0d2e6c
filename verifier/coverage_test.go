package verifier_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// coverageFile is the table of what the verifier owes the specification, and the tests that show it.
const coverageFile = "../docs/tuf-coverage.md"

var update = flag.Bool("update", false, "write "+coverageFile+" anew")

// A row is one duty towards the specification. elsewhere names the tests of other packages, where the duty is theirs.
type row struct {
	id, duty  string
	elsewhere []string
}

// rows are the duties, in the order of the client workflow.
func rows() []row {
	return []row{
		{"A1", "unknown fields are kept for the signature", nil},
		{"A2", "signatures are over the canonical form of the received document", nil},
		{"A3", "OLPC canonical JSON, integers only", nil},
		{"A4", "duplicate keys are refused", nil},
		{"A5", "field names are case-sensitive", nil},
		{"A6", "invalid UTF-8, lone surrogates, trailing data and deep nesting are refused", nil},
		{"A7", "no panic on any input", nil},
		{"A8", "the type is the role asked for", nil},
		{"A9", "specification version 1", nil},
		{"A10", "versions are integers above 0, with a documented maximum", nil},
		{"A11", "expiry times have one form", nil},
		{"A12", "root grants the four top-level roles; others are tolerated", nil},
		{"A13", "thresholds of 1 or more; key IDs of a role unique", nil},
		{"A14", "a repeated key ID in signatures refuses the document", nil},
		{"A15", "a bad signature spoils nothing", nil},
		{"A16", "timestamp lists snapshot.json only", nil},
		{"A17", "snapshot lists targets.json and each delegated role that is used", nil},
		{"A18", "delegations can be read in one way only", nil},
		{"A19", "target entries; custom is handed on as it came", nil},
		{"B1", "key IDs are opaque (TAP 12)", nil},
		{"B2", "thresholds count different public keys", nil},
		{"B3", "a key of unknown type or scheme is merely unusable", nil},
		{"B4", "a key ID without a key is skipped", nil},
		{"B5", "keys come from the delegator only", nil},
		{"B6", "ed25519", nil},
		{"B7", "ecdsa-sha2-nistp256", nil},
		{"B8", "ecdsa-sha2-nistp384 and nistp521", nil},
		{"B9", "rsassa-pss-sha256, 2048 bits or more, any salt", nil},
		{"B10", "rsa-pkcs1v15-sha256; the scheme decides the padding", nil},
		{"B11", "a seam for further schemes, such as ML-DSA (TAP 21)", nil},
		{"B12", "each key verified once; signatures and keys are capped", nil},
		{"C1", "the time is fixed once in a refresh", nil},
		{"C2", "the anchor needs its own threshold; its expiry doesn't matter", nil},
		{"C3", "new roots until absent or the bound, which is reported", nil},
		{"C4", "a failure is not absence", []string{"agent/fetch.TestAbsence"}},
		{"C5", "a root is signed by the old root's threshold and its own", nil},
		{"C6", "the next root is exactly one higher", nil},
		{"C7", "only the last root must not be expired", nil},
		{"C8", "each root is persisted at once", nil},
		{"C9", "fast-forward recovery by rotation, judged at each root", nil},
		{"C9b", "a root and what it drops are one change", nil},
		{"C10", "the chain hangs on the anchor and passes through the highest root ever trusted", nil},
		{"C11", "every failure leaves a state to go on from", nil},
		{"D1", "timestamp: plain name, capped", nil},
		{"D2", "timestamp: threshold by root", nil},
		{"D3", "timestamp: lower is refused, equal keeps the old", nil},
		{"D4", "timestamp: the snapshot's version does not fall", nil},
		{"D5", "timestamp: an expired one is not persisted", nil},
		{"D6", "timestamp: an expired stored one is a baseline", nil},
		{"D7", "timestamp: a refused one leaves the store as it was", nil},
		{"E1", "snapshot: name and cap", nil},
		{"E2", "snapshot: hashes before signatures", nil},
		{"E3", "snapshot: threshold", nil},
		{"E4", "snapshot: the version that the timestamp says", nil},
		{"E5", "snapshot: no role vanishes or gets older", nil},
		{"E6", "snapshot: an expired one is not persisted", nil},
		{"E7", "snapshot: a stored one is reused only if it is the same file", nil},
		{"E8", "snapshot: an expired stored one is a baseline", nil},
		{"F1", "targets roles: cap, hash and length", nil},
		{"F2", "targets roles: threshold, version and expiry", nil},
		{"F3", "search: pre-order, depth first, nothing fetched in vain", nil},
		{"F4", "search: terminating", nil},
		{"F5", "search: at most 32 roles and 64 MiB, and the limit is reported", nil},
		{"F6", "search: a role that can't be had ends it", nil},
		{"F7", "search: diamonds are verified against the delegator at hand", nil},
		{"F8", "path patterns", nil},
		{"F9", "a target is in the paths of every role on its chain", nil},
		{"F10", "path_hash_prefixes are of the hex digest", nil},
		{"F11", "succinct roles (TAP 15)", nil},
		{"F12", "role names are percent-encoded alike for URL and store", nil},
		{"F13", "the snapshot is the rollback memory", nil},
		{"F14", "repositories without consistent snapshots", nil},
		{"G1", "what is not listed causes no request", nil},
		{"G2", "not more bytes than listed, and not fewer", nil},
		{"G3", "all listed known hashes match", nil},
		{"G4", "HASH.NAME under consistent snapshots, SHA-256 first", nil},
		{"G5", "option: plain names", []string{"verifier.TestG4_NamesCarryTheHashSHA256First"}},
		{"G6", "names are escaped in URLs", []string{"agent/fetch.TestImageURL", "agent/fetch.TestMetadataURL"}},
		{"G7", "never outside the image directory", []string{"storage.TestNamesThatAreNoIDs", "storage.TestLinksAreNotFollowed", "agent/fetch.TestDirectoryStaysInside"}},
		{"G8", "no unverified bytes under a final name", []string{"storage.TestImagesContract"}},
		{"G9", "what is there is not fetched again", []string{"agent/fetch.TestNothingMissing"}},
		{"G10", "when the metadata behind a target expires is known", nil},
		{"G11", "resume", []string{"agent/fetch.TestImageAnswers", "agent/fetch.TestParseContentRange"}},
		{"H", "attacks", nil},
		{"I", "store and floors", []string{"storage.TestOneProcessAtATime"}},
		{"J01", "advisory: threshold zero or negative", nil},
		{"J02", "advisory: panic on JSON that is not TUF", nil},
		{"J03", "advisory: delegation order lost", nil},
		{"J04", "advisory: one key counted several times", nil},
		{"J05", "advisory: duplicate signatures counted", nil},
		{"J06", "advisory: stored root believed instead of the anchor", nil},
		{"J07", "advisory: root that failed verification kept", nil},
		{"J08", "advisory: next root with any version", nil},
		{"J09", "advisory: terminating ignored", nil},
		{"J10", "advisory: delegated versions not compared with the old snapshot", nil},
		{"J11", "advisory: refused timestamp persisted", nil},
		{"J12", "advisory: cycles", nil},
		{"J13", "advisory: delegated metadata unchecked for expiry, hash or length", nil},
		{"J14", "advisory: names as paths", nil},
		{"J15", "advisory: stored bytes returned unchecked", nil},
		{"J16", "advisory: a visited mark left by a branch that failed", nil},
		{"L1", "before a threshold is checked a document costs at most 3 times its size and 8 MiB of memory", []string{
			"verifier/strict.TestL1_NoDocumentCostsMoreThanTwiceItsLength"}},
		{"L2", "what makes a document dear is bounded: members, nesting, names out of order, keys, roles, patterns, key IDs", []string{
			"verifier/strict.TestL2_MembersAreBounded", "verifier/strict.TestL2_AnyOrderIsSorted"}},
		{"L3", "a refresh with its searches does a bounded work: signatures checked, bytes hashed for them, characters matched, delegated bytes read", nil},
		{"TAP 4", "repositories of a map file must agree; only a verified \"not listed\" leads to the next", []string{
			"verifier.TestMap_RepositoriesAgree", "verifier.TestMap_OneOfTwoRepositoriesIsCompromised", "verifier.TestMap_OnlyOTAOfCustomIsAgreed",
			"verifier.TestMap_BlockingARepositoryDoesNotReroute", "verifier.TestMap_FallsThroughOnlyWhenNobodyListsThePath",
			"verifier.TestMap_OnlyAVerifiedAbsenceIsOne", "verifier.TestMap_AThresholdBelowAll", "verifier.TestMap_TheOrderOfAnswersDoesNotMatter",
		}},
	}
}

// TestCoverage fails when a duty has no test, or when the table in the documentation is not what the tests say.
// go test ./verifier -run TestCoverage -update writes it anew.
func TestCoverage(t *testing.T) {
	table := "# What the verifier owes the TUF specification, and the tests that show it\n\n" +
		"Generated by `go test ./verifier -run TestCoverage -update` from the names of the tests.\n" +
		"The bounds of section L stand in [publishing.md](publishing.md#what-devices-accept), each with its reason.\n\n| row | duty | tests |\n|---|---|---|\n"
	named := map[string][]string{}
	for _, name := range testNames(t, ".") {
		for _, id := range rowsOf(name) {
			named[id] = append(named[id], "`"+name+"`")
		}
	}
	for _, r := range rows() {
		tests := named[r.id]
		for _, other := range r.elsewhere {
			dir, name, _ := strings.Cut(other, ".")
			if !slices.Contains(testNames(t, filepath.Join("..", dir)), name) {
				t.Errorf("row %s: there is no test %s", r.id, other)
			}
			tests = append(tests, "`"+other+"`")
		}
		if len(tests) == 0 {
			t.Errorf("row %s (%s) has no test", r.id, r.duty)
		}
		table += fmt.Sprintf("| %s | %s | %s |\n", r.id, r.duty, strings.Join(tests, ", "))
	}
	if *update {
		if err := os.WriteFile(coverageFile, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile(coverageFile); err != nil || string(written) != table {
		t.Errorf("%s is out of date (%v): run this test with -update", coverageFile, err)
	}
}

// testNames lists the tests of a package, in the order of files and lines.
func testNames(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

// rowsOf reads the rows out of a test's name: TestA4A5A6_X, TestB6toB10_X, TestC9b_X, TestH_X.
func rowsOf(name string) []string {
	head, _, found := strings.Cut(strings.TrimPrefix(name, "Test"), "_")
	if !found {
		return nil
	}
	if head == "H" || head == "I" {
		return []string{head}
	}
	var ids []string
	step := regexp.MustCompile(`^(to)?([A-L])(\d+)(b?)`)
	for head != "" {
		m := step.FindStringSubmatch(head)
		if m == nil {
			return nil
		}
		head = head[len(m[0]):]
		if m[1] != "" && len(ids) > 0 {
			from, _ := strconv.Atoi(ids[len(ids)-1][1:])
			to, _ := strconv.Atoi(m[3])
			for i := from + 1; i < to; i++ {
				ids = append(ids, m[2]+strconv.Itoa(i))
			}
		}
		ids = append(ids, m[2]+m[3]+m[4])
	}
	return ids
}
