// Package rules_test enforces the import arrows of ARCHITECTURE.md on direct imports, and what the agent's binary
// may link.
package rules_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ota-agent/ota-agent/"

// arrows lists, for each package, the packages of this module that its non-test code may import. A package that is
// not listed here fails the test: a new one needs a place in the drawing first.
var arrows = map[string][]string{
	"verifier/strict":       {},
	"verifier":              {"verifier/strict"},
	"release":               {"verifier/strict"},
	"agent":                 {"verifier", "release"},
	"agent/files":           {},
	"agent/certs":           {},
	"agent/fetch":           {"agent", "agent/certs", "agent/files"},
	"agent/local":           {"agent"},
	"agent/lookout":         {"agent", "agent/files"},
	"storage":               {"agent", "verifier"},
	"install":               {"agent", "agent/files", "verifier", "install/health"},
	"install/health":        {},
	"mqtt":                  {"agent", "agent/certs", "agent/files"},
	"cmd/ota-agent":         {"agent", "agent/files", "agent/fetch", "agent/local", "agent/lookout", "storage", "install", "mqtt", "verifier"},
	"publish":               {"verifier", "verifier/strict", "release"},
	"cmd/ota-repo":          {"publish", "verifier", "release"},
	"verifier/tuftest":      {"verifier", "verifier/strict"},
	"verifier/conformance":  {"verifier", "storage", "agent", "agent/fetch"},
	"storage/storetest":     {"agent", "verifier"},
	"agent/fetch/fetchtest": {"agent"},
	"install/hooktest":      {"agent", "install", "verifier", "release"},
	"mqtt/mqtttest":         {},
	"mqtt/schematest":       {},
}

// everything may import all of the module: the simulators.
var everything = []string{"cmd/ota-sim", "cmd/ota-sim/demoapp", "agent/sim"}

// owners lists the packages of ota-agent's dependency set that alone may name an import, with no exception.
var owners = map[string][]string{
	"go.etcd.io/bbolt":                    {"storage"},
	"github.com/eclipse/paho.mqtt.golang": {"mqtt"},
	"os/exec":                             {"install"},
	"net/http":                            {"agent/fetch", "agent/local", "install/health"},
}

// elsewhere lists packages outside ota-agent that name one of these imports all the same, with the reason.
var elsewhere = map[string]string{
	"cmd/ota-repo":         "serve shows a repository on a laptop; an external signer is a command",
	"cmd/ota-sim":          "starts the agent as its own process, and a static file server",
	"cmd/ota-sim/demoapp":  "is a small HTTP program: the application that the demo updates",
	"verifier/conformance": "speaks the conformance suite's protocol over HTTP, and asks date for the time",
	"install/hooktest":     "cuts the power before each command of a hook",
	"publish":              "runs an external signer command for an HSM or KMS",
}

// unlinked never gets into ota-agent: signing code, private keys and a broker.
var unlinked = []string{module + "publish", module + "verifier/tuftest", "github.com/mochi-mqtt/server/v2",
	"golang.org/x/crypto/nacl/secretbox", "golang.org/x/crypto/scrypt"}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, patterns...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

func TestImportArrows(t *testing.T) {
	for _, p := range list(t, "./...") {
		name, ok := strings.CutPrefix(p.ImportPath, module)
		if !ok || slices.Contains(everything, name) {
			continue // the module's root holds only this test
		}
		allowed, listed := arrows[name]
		if !listed {
			t.Errorf("package %s has no place in the drawing: add its arrows here and to ARCHITECTURE.md", name)
			continue
		}
		for _, i := range p.Imports {
			if dep, ours := strings.CutPrefix(i, module); ours && !slices.Contains(allowed, dep) {
				t.Errorf("%s imports %s; it may import %v", name, dep, allowed)
			}
		}
	}
}

func TestOwnersOfImports(t *testing.T) {
	agent := list(t, "./cmd/ota-agent")[0]
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, i := range p.Imports {
			owner, ruled := owners[i]
			if !ruled || slices.Contains(owner, name) {
				continue
			}
			if elsewhere[name] == "" || slices.Contains(agent.Deps, p.ImportPath) || name == "cmd/ota-agent" {
				t.Errorf("%s imports %s, which belongs to %v", name, i, owner)
			}
		}
	}
}

func TestAgentLinksNoSigningCodeAndNoBroker(t *testing.T) {
	for _, dep := range list(t, "./cmd/ota-agent")[0].Deps {
		if slices.Contains(unlinked, dep) {
			t.Errorf("ota-agent links %s", dep)
		}
	}
}

// TestDocumentedTestsExist: a promise in a document is worth the test that it names.
func TestDocumentedTestsExist(t *testing.T) {
	out, err := exec.Command("git", "grep", "-hoE", "^func Test[A-Za-z0-9_]+", "--", "*_test.go").Output()
	if err != nil {
		t.Skipf("git grep: %v (this is not a checkout)", err)
	}
	have := strings.Fields(strings.ReplaceAll(string(out), "func ", ""))
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(docs, "README.md", "ARCHITECTURE.md", "SECURITY.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(text), -1) {
			if !slices.Contains(have, name[1]) {
				t.Errorf("%s names %s, and there is no such test", doc, name[1])
			}
		}
	}
}

// TestReadmeShowsTheExample: the README's Go code is what the verifier's example runs.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("verifier/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(readme), "```go\n")
	code, _, ok := strings.Cut(code, "```")
	if !ok || !strings.Contains(string(example), code) {
		t.Errorf("the README's Go code is not in verifier/example_test.go:\n%s", code)
	}
}

// The verifier does no I/O: what it may import of the standard library is listed, so that a clock, a file or a
// goroutine can't slip in.
func TestVerifierIsPure(t *testing.T) {
	banned := []string{"os", "net", "net/http", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "syscall",
		"os/exec", "io/fs", "path/filepath", "encoding/json", "sync", "context"}
	for _, p := range list(t, "./verifier", "./verifier/strict", "./release") {
		for _, i := range p.Imports {
			if i == "encoding/json" && p.ImportPath == module+"release" {
				continue // it only writes there; reading is the strict decoder's
			}
			if slices.Contains(banned, i) {
				t.Errorf("%s imports %s: it does no I/O and reads no clock", p.ImportPath, i)
			}
		}
	}
}
