package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// fakeDocuments holds files by what was asked for.
type fakeDocuments struct {
	files map[string][]byte // by role; roots by role and version
	read  func()            // called before each answer; may be nil
}

func (d fakeDocuments) Document(role string, version int64) (io.ReadCloser, int64, error) {
	if d.read != nil {
		d.read()
	}
	if role == "broken" {
		return nil, 0, errors.New("the disk fails")
	}
	if version > 0 {
		role += string(rune('0' + version))
	}
	if b, ok := d.files[role]; ok {
		return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
	}
	return nil, 0, agent.ErrAbsent
}

func serveDocuments(t *testing.T, d Documents, may bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*listener).mayCommand = func(uint32) bool { return may }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, newFakeAgent(), d, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestDocument(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef\r\n\x00\xff"), 1<<16)
	d := fakeDocuments{files: map[string][]byte{"targets": large, "root3": []byte("third"), "a/b &c=?": []byte("odd"), "empty": {}}}
	c, ctx := NewClient(serveDocuments(t, d, false)), testContext(t)
	for _, want := range []struct {
		role    string
		version int64
		bytes   []byte
	}{{"targets", 0, large}, {"root", 3, []byte("third")}, {"a/b &c=?", 0, []byte("odd")}, {"empty", 0, nil}} {
		got, err := c.Document(ctx, want.role, want.version, int64(len(want.bytes)))
		if err != nil || !bytes.Equal(got, want.bytes) {
			t.Errorf("%s %d: %d bytes, %v; want the %d that the agent holds", want.role, want.version, len(got), err, len(want.bytes))
		}
	}
	if _, err := c.Document(ctx, "targets", 0, int64(len(large))-1); err == nil {
		t.Error("a file that is longer than asked for was taken")
	}
	if _, err := c.Document(ctx, "root", 4, 100); !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("no such root: %v, want ErrAbsent", err)
	}
	if _, err := c.Document(ctx, "broken", 0, 100); err == nil || errors.Is(err, agent.ErrAbsent) {
		t.Errorf("a failure is %v, which must not look like absence", err)
	}
}

func TestBadDocumentRequests(t *testing.T) {
	h := &handler{documents: fakeDocuments{files: map[string][]byte{"root1": nil, "root": nil}}, log: slog.New(slog.DiscardHandler)}
	for query, want := range map[string]int{
		"role=root&version=1": 0, "role=root": 0,
		"": http.StatusBadRequest, "role=": http.StatusBadRequest, "version=1": http.StatusBadRequest,
		"role=root&version=0": http.StatusBadRequest, "role=root&version=-1": http.StatusBadRequest,
		"role=root&version=": http.StatusBadRequest, "role=root&version=1e3": http.StatusBadRequest,
		"role=root&version=99999999999999999999": http.StatusBadRequest,
		"role=root&role=root":                    http.StatusBadRequest, "role=root&force=1": http.StatusBadRequest,
		"role=%zz": http.StatusBadRequest, "role=root;version=1": http.StatusBadRequest,
		"role=../../etc/shadow": http.StatusNotFound,
	} {
		in, out := net.Pipe()
		go io.Copy(io.Discard, out)
		r, err := http.NewRequest(http.MethodGet, documentPath, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		err = h.document(t.Context(), &call{Conn: in, request: r, mayCommand: true})
		in.Close()
		var refused *refusal
		if errors.As(err, &refused) != (want != 0) || want != 0 && refused.code != want {
			t.Errorf("%q: %v, want code %d", query, err, want)
		}
	}
}

// A file is held in memory while it is sent, so guests get one at a time; root need not wait for them.
func TestGuestsReadOneDocumentAtATime(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	first := true // only the first call touches it before the others begin
	d := fakeDocuments{files: map[string][]byte{"timestamp": []byte("x")}, read: func() {
		if first {
			first = false
			close(inside)
			<-leave
		}
	}}
	h := &handler{documents: d, log: slog.New(slog.DiscardHandler), reading: make(chan struct{}, 1)}
	ask := func(ctx context.Context, may bool) error {
		in, out := net.Pipe()
		defer in.Close()
		go io.Copy(io.Discard, out)
		r, err := http.NewRequest(http.MethodGet, documentPath+"?role=timestamp", nil)
		if err != nil {
			return err
		}
		return h.document(ctx, &call{Conn: in, request: r, mayCommand: may})
	}
	slow := make(chan error, 1)
	go func() { slow <- ask(t.Context(), false) }()
	<-inside
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	if err := ask(gone, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a second guest, who hangs up: %v, want that it had to wait", err)
	}
	if err := ask(testContext(t), true); err != nil {
		t.Errorf("root, beside a guest: %v", err)
	}
	close(leave)
	if err := <-slow; err != nil {
		t.Errorf("the first guest: %v", err)
	}
	if err := ask(t.Context(), false); err != nil {
		t.Errorf("a guest after it: %v", err)
	}
}

// An agent that dies while it answers leaves a part, which is not the file.
func TestACutDocumentIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	}()
	if b, err := NewClient(path).Document(testContext(t), "timestamp", 0, 100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", b, err)
	}
}
