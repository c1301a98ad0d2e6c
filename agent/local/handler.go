package local

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// watchEvery is the least time between two documents of a watch.
const watchEvery = 250 * time.Millisecond

type handler struct {
	agent     Agent
	documents Documents
	log       *slog.Logger
	reading   chan struct{} // full while a guest gets a document
}

// A route is a method and path, who may use it, and what it does.
type route struct {
	method, path string
	commands     bool
	do           func(context.Context, *call) error
}

func (h *handler) routes() []route {
	return []route{
		{http.MethodGet, "/v1/status", false, h.status},
		{http.MethodGet, "/v1/watch", false, h.watch},
		{http.MethodGet, "/v1/history", false, h.history},
		{http.MethodGet, documentPath, false, h.document},
		{http.MethodPost, "/v1/check", true, h.check},
		{http.MethodPost, "/v1/command", true, h.command},
	}
}

func (h *handler) route(ctx context.Context, x *call) error {
	known := false
	for _, r := range h.routes() {
		if x.request.URL.Path != r.path {
			continue
		}
		known = true
		if x.request.Method != r.method {
			continue
		}
		if !r.commands {
			return r.do(ctx, x)
		}
		if !x.mayCommand {
			return refuse(http.StatusForbidden, "only root and the agent's own user may command; this user may only look")
		}
		h.log.Info("local command", "path", r.path, "uid", x.uid)
		return r.do(ctx, x)
	}
	if known {
		return refuse(http.StatusMethodNotAllowed, "this path takes another method than %s", x.request.Method)
	}
	return refuse(http.StatusNotFound, "there is no such path")
}

func (h *handler) status(_ context.Context, x *call) error { return h.answer(x) }

func (h *handler) history(_ context.Context, x *call) error {
	return x.send(http.StatusOK, h.agent.History())
}

func (h *handler) answer(x *call) error { return x.send(http.StatusOK, h.agent.Status()) }

// check answers with the status document whenever the refresh came to an end: the document says to which one.
func (h *handler) check(ctx context.Context, x *call) error {
	err := h.agent.Check(ctx)
	var problem *agent.Problem
	if err != nil && !errors.As(err, &problem) {
		return refuse(http.StatusServiceUnavailable, "%v", err)
	}
	return h.answer(x)
}

// command is strict: a second value or an unknown key is a mistake that the caller should hear of.
func (h *handler) command(ctx context.Context, x *call) error {
	body := json.NewDecoder(x.request.Body)
	body.DisallowUnknownFields()
	var c agent.Command
	if err := body.Decode(&c); err != nil {
		return refuse(http.StatusBadRequest, `want {"command": NAME}: %v`, err)
	}
	if _, err := body.Token(); err != io.EOF {
		return refuse(http.StatusBadRequest, "want one command and nothing after it")
	}
	if err := h.agent.Command(ctx, c); err != nil {
		refused := &refusal{code: http.StatusUnprocessableEntity, Text: err.Error()}
		var problem *agent.Problem
		if errors.As(err, &problem) {
			refused.Reason = problem.Reason
		}
		return refused
	}
	return h.answer(x)
}

// watch streams the status document until the caller goes away.
func (h *handler) watch(ctx context.Context, x *call) error {
	if err := x.begin(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		changed := h.agent.Changed() // before Status, or a change between the two is missed
		if err := x.follow(h.agent.Status()); err != nil {
			return err
		}
		pause(ctx, watchEvery)
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}
