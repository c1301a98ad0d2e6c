//go:build linux && amd64

package crash

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

// checkSlots: the slot that boots next and the one that boots after it hold whole images that were published, and so
// does every slot that is called good.
func (b *board) checkSlots() error {
	env, err := b.readEnv()
	if err != nil {
		return err
	}
	primary := env["primary"]
	if env["good."+primary] != "1" {
		return fmt.Errorf("slot %s is primary and not good: %v", primary, env)
	}
	for _, slot := range []string{"A", "B"} {
		if slot != primary && slot != env["try"] && env["good."+slot] != "1" {
			continue
		}
		if _, err := b.holds(slot); err != nil {
			return fmt.Errorf("slot %s can boot (%v): %w", slot, env, err)
		}
	}
	return nil
}

// holds says which release a slot holds, whole.
func (b *board) holds(slot string) (published, error) {
	content, err := os.ReadFile(b.flash("ab", "slot."+slot))
	if err != nil {
		return published{}, err
	}
	for _, r := range b.lab.releases {
		if bytes.HasPrefix(content, r.image) {
			return r, nil
		}
	}
	sum := sha256.Sum256(content)
	return published{}, fmt.Errorf("it holds no release: %d bytes with SHA-256 %s", len(content), hex.EncodeToString(sum[:]))
}

// checkStore opens the store of a dead agent: it must open, have lost nothing, and its floors must not be below the
// ones of before. It returns them. Where the agent has not made a store yet, they are before's.
func (b *board) checkStore(before verifier.Floors) (verifier.Floors, error) {
	s, err := storage.OpenReadOnly(b.state, storage.Options{})
	if errors.Is(err, agent.ErrAbsent) && before.RootVersion == 0 {
		return before, nil
	}
	if err != nil {
		return before, err
	}
	defer s.Close()
	st, err := s.Load()
	switch {
	case err != nil:
		return before, err
	case len(st.Recovered) > 0:
		return before, fmt.Errorf("a dead process was taken for damage: %q", st.Recovered)
	}
	return st.Floors, b.checkFloors(before, st.Floors)
}

// checkFloors: floors never fall, and the index floor only rises with a confirmed release.
func (b *board) checkFloors(before, now verifier.Floors) error {
	was, is := before.Index[component].Version, now.Index[component].Version
	if now.RootVersion < before.RootVersion || now.Timestamp.Version < before.Timestamp.Version ||
		now.Snapshot.Version < before.Snapshot.Version || is < was {
		return fmt.Errorf("floors fell from %+v to %+v", before, now)
	}
	env, err := b.readEnv()
	if err != nil {
		return err
	}
	r, err := b.holds(env["primary"])
	if err == nil && is > r.index {
		err = fmt.Errorf("the index floor is %d, but the primary slot %s holds release %s", is, env["primary"], r.version)
	}
	return err
}

// checkRest: the device runs r, in a slot that is primary and good, and keeps nothing of the update.
func (b *board) checkRest(r published, before verifier.Floors) error {
	floors, err := b.checkStore(before)
	if err != nil {
		return err
	}
	env, err := b.readEnv()
	if err != nil {
		return err
	}
	held, err := b.holds(env["primary"])
	switch {
	case err != nil:
		return err
	case held.version != r.version || env["try"] != "":
		return fmt.Errorf("primary slot %s holds release %s, want %s; %v", env["primary"], held.version, r.version, env)
	case floors.Index[component].Version != r.index:
		return fmt.Errorf("the index floor is %d, want %d", floors.Index[component].Version, r.index)
	}
	for _, dir := range []string{"images", "partial"} {
		entries, err := os.ReadDir(b.state + "/" + dir)
		if err != nil || len(entries) > 0 {
			return fmt.Errorf("%s holds %v after the update (%v)", dir, entries, err)
		}
	}
	return b.checkSlots()
}

// checkImages: what has an image's name is that image.
func (b *board) checkImages() error {
	dir := filepath.Join(b.state, "images")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != e.Name() {
			return fmt.Errorf("images holds %s, %d bytes with SHA-256 %x", e.Name(), len(content), sum)
		}
	}
	return err
}
