package tuftest

import (
	"errors"
	"maps"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A Store keeps what a client commits, with the floors apart: they become durable before the rest.
type Store struct {
	Documents map[verifier.Key][]byte
	Floors    verifier.Floors
	// Commits counts the changes made.
	Commits int
	// Asked are the documents that were asked for.
	Asked []verifier.Key
	// Crash, when not nil, is asked before each of the two steps of a commit whether the device dies there.
	Crash func(step string) bool
}

// ErrCrash is what a commit fails with when the device dies in it.
var ErrCrash = errors.New("power cut")

// NewStore is an empty store.
func NewStore() *Store { return &Store{Documents: map[verifier.Key][]byte{}} }

// Commit makes a change durable: its floors, then the rest at once.
func (s *Store) Commit(c verifier.Change) error {
	if s.dies("floors") {
		return ErrCrash
	}
	s.Commits++
	if c.Floors != nil {
		s.Floors = *c.Floors
	}
	if s.dies("documents") {
		return ErrCrash
	}
	for _, key := range c.Drop {
		delete(s.Documents, key)
	}
	for _, d := range c.Put {
		s.Documents[d.Key] = d.Bytes
	}
	return nil
}

func (s *Store) dies(step string) bool { return s.Crash != nil && s.Crash(step) }

// Answer reads a stored document.
func (s *Store) Answer(key verifier.Key) verifier.Answer {
	s.Asked = append(s.Asked, key)
	if raw, ok := s.Documents[key]; ok {
		return verifier.Bytes(raw)
	}
	return verifier.Absent()
}

// Clone is a copy that shares nothing that changes.
func (s *Store) Clone() *Store {
	return &Store{Documents: maps.Clone(s.Documents), Floors: s.Floors}
}

// Role is a stored role's file, nil if there is none.
func (s *Store) Role(name string) []byte { return s.Documents[verifier.Key{Role: name}] }

// A Client is a device: what it was shipped with, what it keeps, and whom it asks.
type Client struct {
	Anchor []byte
	// Minimum are the floors that it was shipped with; the zero value: none.
	Minimum verifier.Floors
	Store   *Store
	Repo    *Repository
	Now     time.Time
	Limits  verifier.Limits
}

// NewClient is a fresh device that trusts the repository's first root, a moment after the story's start.
func NewClient(r *Repository) *Client {
	return &Client{Anchor: r.Anchor(), Store: NewStore(), Repo: r, Now: Start().Add(time.Minute)}
}

// Refresh runs one refresh. The refresh is returned also when it failed, unless it could not begin.
func (c *Client) Refresh() (*verifier.Refresh, error) {
	refresh, err := verifier.Begin(c.Anchor, c.Store.Floors, c.Now, c.Limits)
	if err != nil {
		return nil, err
	}
	if c.Minimum.RootVersion > 0 {
		if err := refresh.Demand(c.Minimum); err != nil {
			return nil, err
		}
	}
	return refresh, c.Drive(refresh)
}

// Drive runs a conversation with the client's store and repository.
func (c *Client) Drive(v verifier.Conversation) error {
	return verifier.Drive(v, c.answer, c.Store.Commit)
}

// Find refreshes and looks a target up.
func (c *Client) Find(path string) (verifier.Found, error) {
	refresh, err := c.Refresh()
	if err != nil {
		return verifier.Found{}, err
	}
	return c.FindIn(refresh, path)
}

// FindIn looks a target up in a finished refresh.
func (c *Client) FindIn(refresh *verifier.Refresh, path string) (verifier.Found, error) {
	search := refresh.Find(path)
	if err := c.Drive(search); err != nil {
		return verifier.Found{}, err
	}
	return search.Found()
}

func (c *Client) answer(request verifier.Request) verifier.Answer {
	if request.Source == verifier.Stored {
		return c.Store.Answer(request.Key)
	}
	return c.Repo.Answer(request.Name)
}
