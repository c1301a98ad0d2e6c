package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ota-agent/ota-agent/verifier"
)

// A dirStore keeps documents as files, each replaced by rename and none synced: as durable as the peer's, so that the
// two are compared by what they verify. The agent's own store syncs.
type dirStore struct{ dir string }

func (s dirStore) path(k verifier.Key) string {
	return filepath.Join(s.dir, fmt.Sprintf("%d.%d.%s", k.Kind, k.Version, verifier.FileName(k.Role, 0)))
}

func (s dirStore) answer(k verifier.Key) verifier.Answer { return answerWith(os.ReadFile(s.path(k))) }

func (s dirStore) floors() (f verifier.Floors, err error) {
	b, err := os.ReadFile(filepath.Join(s.dir, "floors"))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	return f, err
}

func (s dirStore) commit(c verifier.Change) error {
	if c.Floors != nil {
		b, err := json.Marshal(c.Floors)
		if err == nil {
			err = replace(filepath.Join(s.dir, "floors"), b)
		}
		if err != nil {
			return err
		}
	}
	for _, k := range c.Drop {
		if err := os.Remove(s.path(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, d := range c.Put {
		if err := replace(s.path(d.Key), d.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func replace(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
