package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// An Agent is what the API shows and passes commands to.
type Agent interface {
	Status() agent.Status
	// Changed is closed when Status next says something new.
	Changed() <-chan struct{}
	// Check refreshes now. Its error is a *agent.Problem where the refresh came to an end that was not good.
	Check(ctx context.Context) error
	Command(ctx context.Context, c agent.Command) error
}

// Bounds of a request. Nobody on the device needs more.
const (
	requestTimeout  = 5 * time.Second // to send it
	writeTimeout    = 10 * time.Second
	idleTimeout     = 30 * time.Second
	headerBytesMax  = 4 << 10
	commandBytesMax = 1 << 10
	// watchEvery is the least time between two documents of a watch.
	watchEvery = 250 * time.Millisecond
)

// Serve answers on l, which comes from Listen, until ctx ends, which is no error. It closes l.
func Serve(ctx context.Context, l net.Listener, a Agent, log *slog.Logger) error {
	h := &handler{agent: a, log: log}
	server := &http.Server{
		Handler:           h.routes(),
		ReadHeaderTimeout: requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // watches end with it
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			p, _ := c.(*peer)
			return context.WithValue(ctx, peerKey{}, p)
		},
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("local API: %w", err)
	}
	return nil
}

type peerKey struct{}

type handler struct {
	agent Agent
	log   *slog.Logger
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("GET /v1/watch", h.watch)
	mux.HandleFunc("POST /v1/check", h.commanding(h.check))
	mux.HandleFunc("POST /v1/command", h.commanding(h.command))
	return mux
}

// commanding lets only those in who may command.
func (h *handler) commanding(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, _ := r.Context().Value(peerKey{}).(*peer)
		if p == nil || !p.mayCommand {
			h.refuse(w, http.StatusForbidden, "only root and the agent's own user may command; this user may only look")
			return
		}
		h.log.Info("local command", "path", r.URL.Path, "uid", p.uid)
		next(w, r)
	}
}

func (h *handler) status(w http.ResponseWriter, _ *http.Request) { h.answer(w) }

// check answers with the status document whenever the refresh came to an end: the document says to which one.
func (h *handler) check(w http.ResponseWriter, r *http.Request) {
	err := h.agent.Check(r.Context())
	var problem *agent.Problem
	if err != nil && !errors.As(err, &problem) {
		h.refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	h.answer(w)
}

func (h *handler) command(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		h.log.Debug("local API", "err", err)
	}
	// A second value or an unknown key is a mistake that the caller should hear of.
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, commandBytesMax))
	body.DisallowUnknownFields()
	var c agent.Command
	if err := body.Decode(&c); err != nil {
		h.refuse(w, http.StatusBadRequest, "want {\"command\": NAME}: "+err.Error())
		return
	}
	if _, err := body.Token(); err != io.EOF {
		h.refuse(w, http.StatusBadRequest, "want one command and nothing after it")
		return
	}
	if err := h.agent.Command(r.Context(), c); err != nil {
		h.refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	h.answer(w)
}

// watch streams the status document until the caller goes away.
func (h *handler) watch(w http.ResponseWriter, r *http.Request) {
	stream := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	for {
		changed := h.agent.Changed() // before Status, or a change between the two is missed
		deadline := stream.SetWriteDeadline(time.Now().Add(writeTimeout))
		if errors.Join(deadline, out.Encode(h.agent.Status()), stream.Flush()) != nil {
			return // the caller is gone
		}
		if !wait(r.Context(), changed) {
			return
		}
	}
}

// wait returns after a change, but not before watchEvery; false when ctx ends.
func wait(ctx context.Context, changed <-chan struct{}) bool {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *handler) answer(w http.ResponseWriter) { h.send(w, http.StatusOK, h.agent.Status()) }

func (h *handler) refuse(w http.ResponseWriter, code int, text string) {
	h.send(w, code, refusal{Error: text})
}

func (h *handler) send(w http.ResponseWriter, code int, document any) {
	w.Header().Set("Content-Type", "application/json")
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		h.log.Debug("local API", "err", err)
	}
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(document); err != nil {
		h.log.Debug("local API: the caller went away", "err", err)
	}
}

// A refusal is the body of every answer that is not 200.
type refusal struct {
	Error string `json:"error"`
}
