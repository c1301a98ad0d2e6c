package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
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

// needTufJS skips the test where Node.js or the package can't be had. The package is installed once, beside its lock
// file.
func needTufJS(t *testing.T) {
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
}

func newTufJS(t *testing.T, s site) *tufJS {
	t.Helper()
	needTufJS(t)
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

// judged is one repository for js/judge.mjs.
type judged struct {
	URL  string `json:"url"`
	Dir  string `json:"dir"`
	Path string `json:"path"`
}

// tuf-js judges the documents of TestWhereOthersDiffer, all in one process.
func TestWhereTufJSDiffers(t *testing.T) {
	needTufJS(t)
	all := differences()
	served := map[string][]byte{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := served[r.URL.EscapedPath()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	}))
	defer server.Close()
	var list []judged
	for i, d := range all {
		anchor, files, path := d.repository()
		for name, b := range files {
			served[fmt.Sprintf("/%d/%s", i, name)] = b
		}
		dir := t.TempDir()
		fatal(t, os.WriteFile(filepath.Join(dir, "root.json"), anchor, 0o644))
		list = append(list, judged{fmt.Sprintf("%s/%d", server.URL, i), dir, path})
	}
	input, err := json.Marshal(map[string]any{"now": now(), "repositories": list})
	fatal(t, err)
	program := exec.CommandContext(t.Context(), "node", "js/judge.mjs")
	program.Stdin = bytes.NewReader(input)
	out, err := program.Output()
	fatal(t, err)
	var reasons []string
	fatal(t, json.Unmarshal(out, &reasons))
	if len(reasons) != len(all) {
		t.Fatalf("%d answers to %d repositories", len(reasons), len(all))
	}
	for i, d := range all {
		got := accepts
		if reasons[i] != "" {
			got = refuses
		}
		if got != d.tufJS {
			t.Errorf("%s %s: tuf-js %s (%s); it was known that it %s: correct docs/interop.md",
				d.rule, d.name, got, reasons[i], d.tufJS)
		}
	}
}
