package fetch_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/agent/fetch/fetchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContractDirectory(t *testing.T) {
	fetchtest.Contract(t, func(t *testing.T, files map[string][]byte) agent.Repository {
		dir := lay(t, files)
		return open(t, fetch.Config{Metadata: []string{"file://" + dir + "/metadata"}, Targets: []string{"file://" + dir + "/targets"}})
	})
}

func TestContractHTTP(t *testing.T) {
	fetchtest.Contract(t, func(t *testing.T, files map[string][]byte) agent.Repository {
		s := httptest.NewServer(http.FileServer(http.Dir(lay(t, files))))
		t.Cleanup(s.Close)
		return open(t, fetch.Config{Metadata: []string{s.URL + "/metadata"}, Targets: []string{s.URL + "/targets/"}})
	})
}

// TestContractTLS: the server offers HTTP/2, which the agent does not take up.
func TestContractTLS(t *testing.T) {
	fetchtest.Contract(t, func(t *testing.T, files map[string][]byte) agent.Repository {
		serve := http.FileServer(http.Dir(lay(t, files)))
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 1 {
				t.Errorf("%s: asked by %s", r.URL.Path, r.Proto)
			}
			serve.ServeHTTP(w, r)
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		return open(t, fetch.Config{CA: writeCA(t, s.Certificate().Raw), Metadata: []string{s.URL + "/metadata"}, Targets: []string{s.URL + "/targets/"}})
	})
}

// TestContractMirrors: several mirrors of different kinds keep the contract as one does.
func TestContractMirrors(t *testing.T) {
	fetchtest.Contract(t, func(t *testing.T, files map[string][]byte) agent.Repository {
		s := httptest.NewServer(http.FileServer(http.Dir(lay(t, files))))
		t.Cleanup(s.Close)
		dir := lay(t, files)
		return open(t, fetch.Config{Metadata: []string{s.URL + "/metadata", "file://" + dir + "/metadata"},
			Targets: []string{"file://" + dir + "/targets", s.URL + "/targets/"}})
	})
}

// lay writes files below a new directory; those that a file system can't name are left out.
func lay(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"metadata", "targets"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// open fills in what each test needs.
func open(t *testing.T, c fetch.Config) *fetch.Repository {
	t.Helper()
	if c.Now == nil {
		c.Now = time.Now
	}
	r, err := fetch.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// writeCA writes one certificate as a CA file.
func writeCA(t *testing.T, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
