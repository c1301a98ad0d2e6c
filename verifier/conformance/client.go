package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

// anchorName is the trust anchor's file in DIR. Its name does not end in .json: the suite takes such a file for a
// trusted role.
const anchorName = "anchor"

// A client is one run over one DIR, which no other process has open meanwhile.
type client struct {
	dir        string
	store      *storage.Store
	repository *fetch.Repository // nil for init, which makes no request
	now        time.Time         // of the whole run (TUF 5.1)
	limits     verifier.Limits
	notes      io.Writer
}

// open opens DIR, which it makes if need be.
func open(ctx context.Context, o options, notes io.Writer) (*client, error) {
	c := &client{dir: o.metadataDir, limits: verifier.DefaultLimits(), notes: notes}
	var err error
	if c.now, err = clock(ctx); err != nil {
		return nil, err
	}
	if o.verb != "init" {
		if c.repository, err = c.connect(o); err != nil {
			return nil, err
		}
	}
	c.store, err = storage.Open(c.dir, storage.Options{})
	return c, err
}

// connect makes the way to the files, without using it. A refresh asks for no target, but every repository has a
// place for them.
func (c *client) connect(o options) (*fetch.Repository, error) {
	targets := o.targetBaseURL
	if targets == "" {
		targets = o.metadataURL
	}
	return fetch.New(fetch.Config{
		Metadata:  []string{o.metadataURL},
		Targets:   []string{targets},
		Now:       func() time.Time { return c.now },
		UserAgent: "ota-agent-conformance",
	})
}

func (c *client) close() error { return c.store.Close() }

// init makes the root in file the trust anchor. The anchor of a DIR is never replaced: what is trusted there hangs
// on it. Doing it again with the same root is no error, and changes nothing.
func (c *client) init(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, c.limits.RootBytes+1))
	if err == nil && int64(len(raw)) > c.limits.RootBytes {
		err = fmt.Errorf("%s has more than %d bytes, which no root has", file, c.limits.RootBytes)
	}
	if err != nil {
		return err
	}
	if _, _, err := c.begin(raw); err != nil {
		return fmt.Errorf("%s can't be the trust anchor: %w", file, err)
	}
	switch had, err := c.anchor(); {
	case err == nil && bytes.Equal(had, raw):
		return nil
	case err == nil:
		return fmt.Errorf("%s has another trust anchor already; use an empty directory", c.dir)
	case !errors.Is(err, errNoAnchor):
		return err
	}
	// The anchor comes last: once it is there, init is done.
	if err := c.export(verifier.Root, raw); err != nil {
		return err
	}
	return replaceFile(c.dir, anchorName, raw, true)
}

var errNoAnchor = errors.New("no trust anchor; run init first")

func (c *client) anchor() ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(c.dir, anchorName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", c.dir, errNoAnchor)
	}
	return raw, err
}

// begin starts a refresh from an anchor, above the floors that DIR has.
func (c *client) begin(anchor []byte) (*verifier.Refresh, agent.State, error) {
	state, err := c.store.Load()
	if err != nil {
		return nil, state, err
	}
	r, err := verifier.Begin(anchor, state.Floors, c.now, c.limits)
	return r, state, err
}

// refresh brings the top-level roles up to date (TUF 5.3 to 5.6). The refresh it returns can be searched.
func (c *client) refresh(ctx context.Context) (*verifier.Refresh, error) {
	anchor, err := c.anchor()
	if err != nil {
		return nil, err
	}
	r, state, err := c.begin(anchor)
	if err != nil {
		return nil, err
	}
	for _, repaired := range state.Recovered {
		c.note(repaired)
	}
	err = c.drive(ctx, r)
	if err := errors.Join(err, c.settle(anchor, r)); err != nil {
		return nil, err
	}
	if r.RootBoundReached() {
		c.note(fmt.Sprintf("stopped after %d new roots, there may be more: refresh again", c.limits.RootRotations))
	}
	return r, nil
}

func (c *client) note(text string) { fmt.Fprintln(c.notes, "conformance: "+text) }

// drive runs a refresh or a search against the store and the repository.
func (c *client) drive(ctx context.Context, conversation verifier.Conversation) error {
	answer := func(r verifier.Request) verifier.Answer {
		if r.Source == verifier.Stored {
			return answerWith(c.stored(r.Key))
		}
		return answerWith(c.repository.Metadata(ctx, r.Name, r.BytesMax))
	}
	return verifier.Drive(conversation, answer, c.commit)
}

// answerWith keeps absence and failure apart (TUF 5.3.3).
func answerWith(b []byte, err error) verifier.Answer {
	switch {
	case err == nil:
		return verifier.Bytes(b)
	case errors.Is(err, agent.ErrAbsent):
		return verifier.Absent()
	}
	return verifier.Failed(err)
}
