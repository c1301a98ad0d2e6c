package storage_test

import (
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/storage/storetest"
)

// A reopener is a store in a directory, for the contract.
type reopener struct {
	*storage.Store
	dir string
}

func openAt(t *testing.T, dir string) *storage.Store {
	t.Helper()
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (r *reopener) Reopen(t *testing.T) agent.Store {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.Store = openAt(t, r.dir)
	return r
}

type imagesReopener struct {
	*storage.Images
	store *reopener
}

func (r *imagesReopener) Reopen(t *testing.T) agent.Images {
	t.Helper()
	r.store.Reopen(t)
	r.Images = r.store.Images()
	return r
}

func newReopener(t *testing.T) *reopener {
	dir := t.TempDir()
	return &reopener{openAt(t, dir), dir}
}

func TestStoreContract(t *testing.T) {
	storetest.Contract(t, func(t *testing.T) agent.Store { return newReopener(t) })
}

func TestImagesContract(t *testing.T) {
	storetest.ImagesContract(t, func(t *testing.T) agent.Images {
		r := newReopener(t)
		return &imagesReopener{r.Images(), r}
	})
}
