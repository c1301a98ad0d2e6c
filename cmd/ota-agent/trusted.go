package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

// A vault is the metadata that this device trusts, as the running agent hands it out or, where none runs, its store.
// It is believed no more than a repository: its user drives a refresh of his own from it, anchored in root.json.
type vault struct {
	anchor   []byte
	limits   verifier.Limits
	paths    []string  // the target paths of the components
	now      time.Time // effective
	document func(k verifier.Key, bytesMax int64) ([]byte, error)
	close    func() error
}

func (c *cli) openVault(ctx context.Context) (*vault, error) {
	client, s, err := c.client()
	if err != nil {
		return nil, err
	}
	v := &vault{limits: s.agent.Limits, paths: s.targetPaths()}
	if v.anchor, err = readAnchor(s); err != nil {
		return nil, err
	}
	status, err := client.Status(ctx)
	switch {
	case errors.Is(err, local.ErrNotRunning):
		return v, v.openStore(s)
	case err != nil:
		return nil, err
	}
	v.now = status.Time.Effective
	v.document = func(k verifier.Key, bytesMax int64) ([]byte, error) {
		return client.Document(ctx, k.Role, k.Version, bytesMax)
	}
	v.close = func() error { return nil }
	return v, nil
}

func (v *vault) openStore(s settings) error {
	sys, err := newSystem(s)
	if err != nil {
		return err
	}
	store, err := storage.OpenReadOnly(s.state, storage.Options{})
	if err != nil {
		return neverRan(err)
	}
	state, err := store.Load()
	if err != nil {
		return errors.Join(fmt.Errorf("read the store: %w", err), store.Close())
	}
	v.now = s.agent.EffectiveTime(state.Time, sys)
	v.document = func(k verifier.Key, _ int64) ([]byte, error) { return store.Document(k) }
	v.close = store.Close
	return nil
}

// A trustedFile is a metadata file under the name that it has in a repository.
type trustedFile struct {
	key   verifier.Key
	name  string // on disk
	bytes []byte
}

// A tour is a refresh from the vault, and the files that it accepted.
type tour struct {
	vault   *vault
	refresh *verifier.Refresh
	files   []trustedFile
	asked   string // the name of the file that was asked for last
}

const (
	// rootsMax bounds the chain of roots. It only keeps a vault that invents them from going on for ever.
	rootsMax = 1 << 16
	// toursMax and tourPause give the agent time to end a refresh: until then files of two refreshes lie side by side.
	toursMax  = 3
	tourPause = time.Second
)

// tour refreshes from the vault. With the zero time nothing has expired.
func (v *vault) tour(ctx context.Context, now time.Time) (*tour, error) {
	for n := 1; ; n++ {
		t, err := v.tourOnce(now)
		if err == nil || n == toursMax || !mixed(err) {
			return t, explain(err)
		}
		select {
		case <-time.After(tourPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// mixed: a file is not the one that the file before it names.
func mixed(err error) bool {
	return errors.Is(err, verifier.ErrVersionMismatch) || errors.Is(err, verifier.ErrHashMismatch) || errors.Is(err, verifier.ErrLengthMismatch)
}

func explain(err error) error {
	var refused *verifier.MetadataError
	if !errors.As(err, &refused) {
		return err
	}
	switch {
	case errors.Is(err, verifier.ErrAbsent) && refused.Role == verifier.Timestamp:
		return &failure{exitRefused, errors.New("this device trusts no metadata yet but its root"), "ota-agent check asks the repository"}
	case errors.Is(err, verifier.ErrAbsent), mixed(err):
		return &failure{exitRefused, fmt.Errorf("the trusted metadata is not whole: %w", err),
			"the agent asks the repository just now, or its last refresh was cut short: ota-agent check"}
	case errors.Is(err, verifier.ErrExpired):
		return &failure{exitRefused, err, "ota-agent check asks the repository for newer metadata"}
	}
	return err
}

func (v *vault) tourOnce(now time.Time) (*tour, error) {
	limits := v.limits
	limits.RootRotations = rootsMax
	r, err := verifier.Begin(v.anchor, verifier.Floors{}, now, limits)
	if err != nil {
		return nil, err
	}
	t := &tour{vault: v, refresh: r}
	version := r.Trusted()[0].Version
	t.files = append(t.files, trustedFile{verifier.Key{Role: verifier.Root, Version: version}, verifier.FileName(verifier.Root, version), v.anchor})
	return t, verifier.Drive(r, t.answer, t.accept)
}

// find looks a target path up, and accepts the delegated files on the way.
func (t *tour) find(path string) (verifier.Found, error) {
	search := t.refresh.Find(path)
	if err := verifier.Drive(search, t.answer, t.accept); err != nil {
		return verifier.Found{}, explain(err)
	}
	return search.Found()
}

// answer has the vault play the repository, and what was accepted from it the store.
func (t *tour) answer(q verifier.Request) verifier.Answer {
	if q.Source == verifier.Stored {
		for _, f := range t.files {
			if f.key == q.Key {
				return verifier.Bytes(f.bytes)
			}
		}
		return verifier.Absent()
	}
	t.asked = q.Name
	b, err := t.vault.document(q.Key, q.BytesMax)
	switch {
	case errors.Is(err, agent.ErrAbsent):
		return verifier.Absent()
	case err != nil:
		return verifier.Failed(err)
	}
	return verifier.Bytes(b)
}

// accept keeps what verified: one file at a time, the one that was asked for.
func (t *tour) accept(c verifier.Change) error {
	for _, d := range c.Put {
		if d.Key.Kind == verifier.Metadata {
			t.files = append(t.files, trustedFile{d.Key, diskName(t.asked), d.Bytes})
		}
	}
	return nil
}
