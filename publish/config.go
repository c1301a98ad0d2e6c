package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Expiry says for how long each role's metadata is good after it is signed. Zero fields take the default.
//
// The timestamp's is how long an attacker on the network can hide a new release from a device; the root's is how
// long the publisher may take to bring the offline keys together.
type Expiry struct {
	Root      time.Duration // default 365 days
	Targets   time.Duration // default 90 days
	Snapshot  time.Duration // default 7 days
	Timestamp time.Duration // default 1 day
}

const day = 24 * time.Hour

// expiryMax keeps a slip of the keyboard from making a document that is good for ever.
const expiryMax = 10 * 365 * day

func (e Expiry) withDefaults() Expiry {
	for _, f := range []struct {
		to       *time.Duration
		fallback time.Duration
	}{
		{&e.Root, 365 * day}, {&e.Targets, 90 * day}, {&e.Snapshot, 7 * day}, {&e.Timestamp, day},
	} {
		if *f.to == 0 {
			*f.to = f.fallback
		}
	}
	return e
}

func (e Expiry) of(role string) time.Duration {
	switch role {
	case roleRoot:
		return e.Root
	case roleSnapshot:
		return e.Snapshot
	case roleTimestamp:
		return e.Timestamp
	default:
		return e.Targets
	}
}

func (e Expiry) validate() error {
	for _, role := range topRoles() {
		if d := e.of(role); d < time.Second || d > expiryMax {
			return fmt.Errorf("expiry of %s: %s is outside 1s to %s", role, d, expiryMax)
		}
	}
	return nil
}

// topRoles lists the top-level roles, offline ones first.
func topRoles() []string { return []string{roleRoot, roleTargets, roleSnapshot, roleTimestamp} }

// settings is DIR/publisher.json: what a publisher decided once, and what must be remembered.
type settings struct {
	// Expiry by role, in seconds.
	Expiry map[string]int64 `json:"expiry"`
	// Format is the version of this file and of the directory's layout.
	Format int `json:"format"`
	// Hardware lists the names that releases may be for; empty: any.
	Hardware []string `json:"hardware,omitempty"`
	// Highest is the highest rollback_index that each target path was ever published with.
	Highest map[string]int64 `json:"highest,omitempty"`
	// TargetsFileMax is the longest targets file that the devices' configs accept (targets_file_max), in
	// bytes; 0: their default.
	TargetsFileMax int64 `json:"targets_file_max,omitempty"`
}

const (
	settingsName     = "publisher.json"
	settingsFormat   = 1
	settingsBytesMax = 64 << 20
)

// ErrNoRepository: the directory is not a publisher's, or init did not finish there.
var ErrNoRepository = errors.New("not a publisher's directory")

func newSettings(e Expiry, hardware []string) settings {
	s := settings{Expiry: map[string]int64{}, Format: settingsFormat, Hardware: hardware}
	for _, role := range topRoles() {
		s.Expiry[role] = int64(e.of(role) / time.Second)
	}
	return s
}

func (s settings) expiry() Expiry {
	of := func(role string) time.Duration { return time.Duration(s.Expiry[role]) * time.Second }
	return Expiry{Root: of(roleRoot), Targets: of(roleTargets), Snapshot: of(roleSnapshot), Timestamp: of(roleTimestamp)}
}

func readSettings(dir string) (settings, error) {
	path := filepath.Join(dir, settingsName)
	b, err := readFile(path, settingsBytesMax)
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}, fmt.Errorf("%s: %w: it has no %s; make one with \"ota-repo init\" in an empty directory",
			dir, ErrNoRepository, settingsName)
	}
	if err != nil {
		return settings{}, err
	}
	var s settings
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return settings{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Format != settingsFormat {
		return settings{}, fmt.Errorf("%s: format %d, this program reads %d", path, s.Format, settingsFormat)
	}
	if err := s.expiry().validate(); err != nil {
		return settings{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s settings) write(d disk, dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, settingsName)
	b = append(b, '\n')
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	return d.writeFile(path, b, secretMode)
}

// Check reports whether dir is a publisher's directory, without taking it: it fails with ErrNoRepository or with what
// is wrong with its settings.
func Check(dir string) error {
	_, err := readSettings(dir)
	return err
}
