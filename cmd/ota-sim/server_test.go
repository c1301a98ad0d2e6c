package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testImage = "/targets/board/abc.img"

// testMirror serves one image of 3 MiB and one timestamp.
func testMirror(t *testing.T) (*mirror, []byte) {
	t.Helper()
	dir := t.TempDir()
	image := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	for path, b := range map[string][]byte{testImage: image, timestampPath: []byte("new")} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := openMirror(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.close() })
	return m, image
}

// get reads at most max bytes of an answer.
func get(t *testing.T, m *mirror, path string, max int64, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, m.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, max))
	if err != nil {
		t.Fatal(err)
	}
	return answer, b
}

const enough = 16 << 20

func TestMirrorCounts(t *testing.T) {
	m, image := testMirror(t)
	whole, b := get(t, m, testImage, enough)
	if !bytes.Equal(b, image) {
		t.Errorf("%d bytes, want the image's %d", len(b), len(image))
	}
	tag := whole.Header.Get("ETag")
	if tag == "" || strings.HasPrefix(tag, "W/") {
		t.Errorf("ETag %q is no strong validator", tag)
	}
	mark := m.mark()
	part, b := get(t, m, testImage, enough, "Range", "bytes=1000000-", "If-Range", tag)
	if part.StatusCode != http.StatusPartialContent || !bytes.Equal(b, image[1000000:]) {
		t.Errorf("a range gave status %d and %d bytes", part.StatusCode, len(b))
	}
	again, b := get(t, m, testImage, enough, "Range", "bytes=1000000-", "If-Range", `"another"`)
	if again.StatusCode != http.StatusOK || !bytes.Equal(b, image) {
		t.Errorf("a range of another file gave status %d and %d bytes", again.StatusCode, len(b))
	}
	list := m.since(mark)
	if len(list) != 2 || list[0].Status != http.StatusPartialContent || list[0].Range != "bytes=1000000-" ||
		list[0].Bytes != int64(len(image)-1000000) || list[1].Bytes != int64(len(image)) {
		t.Errorf("log: %+v", list)
	}
	if n := countImages(m.since(0)); n != 3 {
		t.Errorf("%d image requests, want 3", n)
	}
}

func TestMirrorServesNothingElse(t *testing.T) {
	m, _ := testMirror(t)
	for _, path := range []string{"/", "/metadata", "/metadata/", "/metadata/9.root.json", "/../secret", "/targets/%2e%2e/%2e%2e/secret"} {
		if answer, _ := get(t, m, path, enough); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, answer.StatusCode)
		}
	}
}

func TestHostileMirror(t *testing.T) {
	m, image := testMirror(t)
	honest, _ := get(t, m, testImage, enough)
	m.behave(conduct{Tamper: "abc", Replay: map[string][]byte{timestampPath: []byte("old")}, Endless: "/metadata/9.root.json"})

	wrong := bytes.Clone(image)
	wrong[flipAt] ^= 1
	tampered, b := get(t, m, testImage, enough)
	if !bytes.Equal(b, wrong) {
		t.Errorf("a tampered image differs elsewhere than in the bit at %d", flipAt)
	}
	if tampered.Header.Get("ETag") != honest.Header.Get("ETag") {
		t.Error("a tampered image can be told by its ETag")
	}
	for _, from := range []string{"bytes=1-", "bytes=1048576-", "bytes=1048577-"} {
		_, b := get(t, m, testImage, enough, "Range", from)
		if !bytes.Equal(b, wrong[len(wrong)-len(b):]) {
			t.Errorf("range %s of a tampered image is not a part of it", from)
		}
	}
	if _, b := get(t, m, timestampPath, enough); string(b) != "old" {
		t.Errorf("a replayed timestamp is %q", b)
	}
	mark := m.mark()
	endless, b := get(t, m, "/metadata/9.root.json", enough)
	if len(b) != enough || endless.ContentLength >= 0 {
		t.Errorf("the endless file ended after %d bytes, Content-Length %d", len(b), endless.ContentLength)
	}
	if sent := bodyBytes(m.since(mark)); sent < enough {
		t.Errorf("%d bytes counted of %d that were received", sent, enough)
	}

	m.behave(conduct{})
	if _, b := get(t, m, testImage, enough); !bytes.Equal(b, image) {
		t.Error("an honest mirror still serves the tampered image")
	}
}

func TestRequestFrom(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "bytes=5-": 5, "bytes=5-9": 5, "bytes=-5": 0, "lines=1-": 0, "bytes=x-": 0} {
		if got := (request{Range: text}).From(); got != want {
			t.Errorf("%q begins at %d, want %d", text, got, want)
		}
	}
}
