package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// get asks the server; the caller has its own header lines.
func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		q.Header.Set(name, value)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(b)
}

func TestServeHandsOutFilesThatResume(t *testing.T) {
	s := newSession(t)
	s.init()
	s.run(exitOK, "add", "a b/image", s.file("image", "0123456789"), "--rollback-index", "1")
	s.publish()
	// A publisher at work: a file that is not whole yet.
	if err := os.WriteFile(filepath.Join(s.dir, "repo/targets/.tmp-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	a := app{in: os.Stdin, out: writer, err: io.Discard, now: time.Now, env: noEnvironment}
	code := make(chan int)
	go func() { code <- a.run(ctx, []string{"-C", s.dir, "serve", "--listen", "127.0.0.1:0"}) }()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSuffix(regexp.MustCompile(`http://\S+/`).FindString(line), "/")
	images, err := filepath.Glob(filepath.Join(s.dir, "repo/targets/a b/*.image"))
	if err != nil || len(images) != 1 {
		t.Fatal(images, err)
	}
	image := url + "/targets/a%20b/" + filepath.Base(images[0])

	r, body := get(t, image)
	tag := r.Header.Get("ETag")
	if r.StatusCode != 200 || body != "0123456789" || tag == "" || strings.HasPrefix(tag, "W/") {
		t.Errorf("whole: %d %q, ETag %q", r.StatusCode, body, tag)
	}
	r, body = get(t, image, "Range: bytes=4-", "If-Range: "+tag)
	if r.StatusCode != 206 || body != "456789" || r.Header.Get("Content-Range") != "bytes 4-9/10" {
		t.Errorf("rest: %d %q %q", r.StatusCode, body, r.Header.Get("Content-Range"))
	}
	if r, body = get(t, image, "Range: bytes=4-", `If-Range: "another"`); r.StatusCode != 200 || body != "0123456789" {
		t.Errorf("rest of another file: %d %q", r.StatusCode, body)
	}
	if r, _ = get(t, image, "If-None-Match: "+tag); r.StatusCode != 304 {
		t.Errorf("same file: %d", r.StatusCode)
	}
	for _, path := range []string{"/", "/metadata", "/metadata/", "/9.root.json", "/../publisher.json", "/%2e%2e/publisher.json",
		"/targets/../../keys/root.key", "/targets/.tmp-1", "//etc/passwd"} {
		if r, body := get(t, url+path); r.StatusCode != 404 {
			t.Errorf("%s: %d %q", path, r.StatusCode, body)
		}
	}
	if r, err := http.Post(image, "text/plain", nil); err != nil || r.StatusCode != 405 {
		t.Errorf("POST: %v %v", r, err)
	}
	stop()
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
}
