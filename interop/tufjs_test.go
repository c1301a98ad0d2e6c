package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tufJS is the client of npm, in a process of its own for each get.
type tufJS struct {
	site site
	dir  string
}

// newTufJS skips the test where Node.js or the package can't be had. The package is installed once, beside its lock
// file.
func newTufJS(t *testing.T, s site) *tufJS {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("tuf-js not tested: no %s; install Node.js 20 or later", program)
		}
	}
	if _, err := os.Stat("js/node_modules/tuf-js"); err != nil {
		install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = "js"
		if out, err := install.CombinedOutput(); err != nil {
			t.Skipf("tuf-js not tested: npm ci in interop/js: %v; it needs the npm registry once\n%s", err, out)
		}
	}
	c := &tufJS{s, t.TempDir()}
	for _, sub := range []string{"metadata", "targets"} {
		if err := os.Mkdir(filepath.Join(c.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.dir, "metadata", "root.json"), s.anchor, 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *tufJS) get(t *testing.T, path string) (download, error) {
	metadata, targets := filepath.Join(c.dir, "metadata"), filepath.Join(c.dir, "targets")
	get := exec.CommandContext(t.Context(), "node", "js/get.mjs", metadata, c.site.metadata(), targets, c.site.targets(), path)
	var stderr bytes.Buffer
	get.Stderr = &stderr
	out, err := get.Output()
	if err != nil {
		return download{}, fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	var got struct {
		File   string
		Custom json.RawMessage
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return download{}, err
	}
	if string(got.Custom) == "{}" { // what it gives for a target without a custom value
		got.Custom = nil
	}
	content, err := os.ReadFile(got.File)
	return download{content, got.Custom}, err
}
