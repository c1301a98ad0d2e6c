package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ota-agent/ota-agent/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that must happen.
const patience = time.Minute

// A fakeAgent has a status that a test sets, and keeps the commands it gets.
type fakeAgent struct {
	check    func(context.Context) error
	commands chan agent.Command

	mu      sync.Mutex
	status  agent.Status
	changed chan struct{}
}

func newFakeAgent() *fakeAgent {
	return &fakeAgent{commands: make(chan agent.Command, 10), changed: make(chan struct{}),
		check:  func(context.Context) error { return nil },
		status: agent.Status{Schema: agent.StatusSchema, Seq: 1}}
}

func (a *fakeAgent) Status() agent.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

func (a *fakeAgent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

func (a *fakeAgent) History() agent.History {
	return agent.History{Schema: agent.EventSchema, Acknowledged: 1, Events: []agent.Event{{Seq: 1, Kind: agent.EventStaged}, {Seq: 2, Kind: agent.EventConfirmed}}}
}

func (a *fakeAgent) set(change func(*agent.Status)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Seq++
	change(&a.status)
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *fakeAgent) Check(ctx context.Context) error { return a.check(ctx) }

func (a *fakeAgent) Command(_ context.Context, c agent.Command) error {
	if c.Name == "wrong" {
		return errors.New("unknown command")
	}
	if c.Name == "rollback" {
		return &agent.Problem{Reason: agent.ReasonNoRollback, Text: "nothing to go back to"}
	}
	a.commands <- c
	return nil
}

// serve runs the API on a socket and returns its path. may says whether everybody who connects may command.
func serve(t *testing.T, a Agent, may bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*listener).mayCommand = func(uint32) bool { return may }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, a, fakeDocuments{}, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return path
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestStatusCheckAndCommand(t *testing.T) {
	a := newFakeAgent()
	a.check = func(context.Context) error {
		a.set(func(s *agent.Status) { s.Repository.Checks++ })
		return nil
	}
	c, ctx := NewClient(serve(t, a, true)), testContext(t)
	if s, err := c.Status(ctx); err != nil || s.Schema != agent.StatusSchema {
		t.Errorf("status: %+v, %v", s, err)
	}
	if s, err := c.Check(ctx); err != nil || s.Repository.Checks != 1 {
		t.Errorf("check: %+v, %v; want the status after the refresh", s, err)
	}
	want := agent.Command{Name: "retry", Component: "app"}
	if _, err := c.Command(ctx, want); err != nil || <-a.commands != want {
		t.Errorf("command: %v", err)
	}
	_, err := c.Command(ctx, agent.Command{Name: "rollback"})
	if p, _ := errors.AsType[*agent.Problem](err); p == nil || p.Reason != agent.ReasonNoRollback || p.Text != "nothing to go back to" {
		t.Errorf("a command that was refused with a reason: %v", err)
	}
	if _, err := c.Command(ctx, agent.Command{Name: "wrong"}); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("a refused command: %v, want the agent's words", err)
	}
}

func TestCheckThatEndsBadly(t *testing.T) {
	a := newFakeAgent()
	c, ctx := NewClient(serve(t, a, true)), testContext(t)
	a.check = func(context.Context) error {
		p := &agent.Problem{Reason: agent.ReasonExpired, Text: "timestamp is expired"}
		a.set(func(s *agent.Status) { s.Repository.LastProblem = p })
		return fmt.Errorf("refresh: %w", p)
	}
	s, err := c.Check(ctx)
	if err != nil || s.Repository.LastProblem == nil || s.Repository.LastProblem.Reason != agent.ReasonExpired {
		t.Errorf("got %+v, %v; want the document with its problem", s.Repository, err)
	}
	a.check = func(context.Context) error { return errors.New("the agent stops") }
	if _, err := c.Check(ctx); err == nil {
		t.Error("a check that did not take place is answered like one that did")
	}
}

func TestWhoMayOnlyLook(t *testing.T) {
	a := newFakeAgent()
	c, ctx := NewClient(serve(t, a, false)), testContext(t)
	if _, err := c.Status(ctx); err != nil {
		t.Errorf("status: %v", err)
	}
	if h, err := c.History(ctx); err != nil || h.Acknowledged != 1 || len(h.Events) != 2 || h.Events[1].Kind != agent.EventConfirmed {
		t.Errorf("history: %+v, %v", h, err)
	}
	if _, err := c.Check(ctx); !errors.Is(err, ErrForbidden) {
		t.Errorf("check: %v, want ErrForbidden", err)
	}
	if _, err := c.Command(ctx, agent.Command{Name: "pause"}); !errors.Is(err, ErrForbidden) || len(a.commands) != 0 {
		t.Errorf("command: %v, want ErrForbidden and no command", err)
	}
}

func TestRootAndTheOwnUserMayCommand(t *testing.T) {
	own := uint32(os.Geteuid())
	if !mayCommand(0) || !mayCommand(own) || mayCommand(own+1) {
		t.Errorf("root %t, own %t, another %t", mayCommand(0), mayCommand(own), mayCommand(own+1))
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if p := in.(*peer); p.uid != own || !p.mayCommand {
		t.Errorf("the kernel says uid %d, may command: %t", p.uid, p.mayCommand)
	}
}

func TestGuestsCantKeepRootOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	plain, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l := plain.(*listener)
	defer l.Close()
	guest := true
	l.mayCommand = func(uint32) bool { return !guest }
	dial := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var inside []net.Conn
	for range guestsMax {
		dial()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		inside = append(inside, c)
	}
	tooMany := dial() // it is hung up on, and Accept goes on to whoever comes next
	accepted := make(chan net.Conn)
	go func() { c, _ := l.Accept(); accepted <- c }()
	if err := tooMany.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := tooMany.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("a guest too many is not hung up on: %v", err)
	}
	inside[0].Close()
	inside[0].Close() // twice counts once
	dial()
	inside = append(inside, <-accepted)
	guest = false
	dial()
	root, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	root.Close()
	for _, c := range inside {
		c.Close()
	}
	if n := l.guests.Load(); n != 0 {
		t.Errorf("%d guests are left", n)
	}
}

func TestWatchSeesChanges(t *testing.T) {
	a := newFakeAgent()
	c, ctx := NewClient(serve(t, a, false)), testContext(t)
	done := errors.New("seen enough")
	seen := 0
	err := c.Watch(ctx, func(s agent.Status) error {
		seen++
		switch {
		case seen == 1 && s.Paused:
			t.Error("paused too early")
		case seen == 1:
			go a.set(func(s *agent.Status) { s.Paused = true })
		case s.Paused:
			return done
		}
		return nil
	})
	if !errors.Is(err, done) || seen != 2 {
		t.Errorf("saw %d documents, %v", seen, err)
	}
}

func TestWatchEndsWithTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, newFakeAgent(), fakeDocuments{}, slog.New(slog.DiscardHandler)) }()
	err = NewClient(path).Watch(testContext(t), func(agent.Status) error { cancel(); return nil })
	if !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := NewClient(path).Status(testContext(t)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning", err)
	}
}

// Bad input gets an answer that says what is wrong, and the next caller is served.
func TestBadRequests(t *testing.T) {
	path := serve(t, newFakeAgent(), true)
	post := func(body string) string {
		return fmt.Sprintf("POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for _, c := range []struct {
		name, request, status string
	}{
		{"not JSON", post("hello"), "400"},
		{"an unknown key", post(`{"command":"pause","force":true}`), "400"},
		{"two commands", post(`{"command":"pause"}{"command":"resume"}`), "400"},
		{"too long", post(`{"command":"` + strings.Repeat("x", commandBytesMax) + `"}`), "400"},
		{"empty", post(""), "400"},
		{"a header too long", "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "400"},
		{"wrong method", "GET /v1/command HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
		{"wrong path", "GET /v2/status HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"no HTTP", "hello\r\n\r\n", "400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go io.WriteString(conn, c.request)
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+c.status) {
				t.Errorf("got %q, %v; want status %s", line, err, c.status)
			}
			if _, err := NewClient(path).Status(testContext(t)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A caller that closes its sending side, as nc does, still gets its answer.
func TestHalfClosedCallerIsAnswered(t *testing.T) {
	path := serve(t, newFakeAgent(), false)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /v1/status HTTP/1.0\r\n\r\n")
	conn.(*net.UnixConn).CloseWrite()
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), `"schema":1`) {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestCheckEndsWhenItsCallerHangsUp(t *testing.T) {
	a := newFakeAgent()
	begun, ended := make(chan struct{}), make(chan struct{})
	a.check = func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	c := NewClient(serve(t, a, true))
	ctx, cancel := context.WithCancel(testContext(t))
	go func() { <-begun; cancel() }()
	if _, err := c.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the agent still waits for nobody")
	}
}

// A process that took the socket's place, or a broken agent, must not hang or fill the CLI.
func TestClientBoundsItsAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"agent\":\""+strings.Repeat("x", statusBytesMax)+"\"}")
			c.Close()
		}
	}()
	var syntax *json.SyntaxError
	if _, err := NewClient(path).Status(testContext(t)); err == nil || errors.As(err, &syntax) {
		t.Errorf("an endless answer: %v", err)
	}
	err = NewClient(path).Watch(testContext(t), func(agent.Status) error {
		t.Error("an endless document in a watch was taken")
		return nil
	})
	if err == nil {
		t.Error("a watch of an endless document ended well")
	}
}
