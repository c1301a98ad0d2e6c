package release

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// Bounds of the ota object. They are part of the format: a reader refuses what lies beyond, so a writer must too.
const (
	// CustomBytesMax bounds a target's whole custom value.
	CustomBytesMax = 64 << 10
	// VersionRunesMax bounds Version, in characters.
	VersionRunesMax = 64
	// NameBytesMax bounds a hardware or component name.
	NameBytesMax = 64
	// HardwareMax bounds how many hardware names a release lists.
	HardwareMax = 256
	// RequiresMax bounds how many components a release requires.
	RequiresMax = 64
	// NotesBytesMax bounds Notes, in bytes.
	NotesBytesMax = 4096
	// IndexMax is the largest rollback_index: the largest integer that every JSON reader keeps exact.
	IndexMax = 1<<53 - 1
	// RolloutMax is the longest rollout.
	RolloutMax = 366 * 24 * time.Hour
)

// timeLayout is the one form of a time, in UTC.
const timeLayout = "2006-01-02T15:04:05Z"

// Parse reads a target's whole custom value (nil, null or without "ota": the zero Info). A malformed ota object is an
// error that names the field, what was expected and what came. Members of the object that are not known here are
// ignored: a newer publisher may add some. Anything beside "ota" belongs to others and is not looked at.
func Parse(custom []byte) (Info, error) {
	if len(custom) == 0 {
		return Info{}, nil
	}
	if len(custom) > CustomBytesMax {
		return Info{}, fmt.Errorf("custom: %d bytes, expected at most %d", len(custom), CustomBytesMax)
	}
	v, err := strict.Parse(custom)
	if err != nil {
		return Info{}, fmt.Errorf("custom: %w", err)
	}
	ota, ok := v.Lookup("ota")
	if !ok {
		return Info{}, nil
	}
	var i Info
	if err := ota.Object(i.readMember); err != nil {
		return Info{}, fmt.Errorf("custom.ota: %w", err)
	}
	return i, nil
}

func (i *Info) readMember(name []byte, v strict.Value) (err error) {
	switch string(name) {
	case "version":
		i.Version, err = readText(v, validVersion, wantVersion)
	case "rollback_index":
		var index int64
		index, err = readIndex(v)
		i.RollbackIndex = &index
	case "hardware":
		i.Hardware, err = readHardware(v)
	case "rollout":
		i.Rollout, err = readRollout(v)
	case "urgent":
		i.Urgent, err = v.Bool()
	case "requires":
		i.Requires, err = readRequires(v)
	case "notes":
		i.Notes, err = readText(v, validNotes, wantNotes)
	}
	return err
}

func readText(v strict.Value, valid func(string) bool, want string) (string, error) {
	s, err := v.Text()
	if err != nil {
		return "", err
	}
	if !valid(s) {
		return "", v.Refuse(want)
	}
	return s, nil
}

func readIndex(v strict.Value) (int64, error) {
	n, err := v.Int()
	if err != nil {
		return 0, err
	}
	if n < 0 || n > IndexMax {
		return 0, v.Refuse(wantIndex)
	}
	return n, nil
}

func readHardware(v strict.Value) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	err := v.Array(func(n int, element strict.Value) error {
		if n == HardwareMax {
			return v.Refuse(fmt.Sprintf("at most %d names", HardwareMax))
		}
		name, err := readText(element, ValidName, wantName)
		if err != nil {
			return err
		}
		if seen[name] {
			return element.Refuse("a name that was not listed before")
		}
		seen[name] = true
		names = append(names, name)
		return nil
	})
	if err == nil && len(names) == 0 {
		return nil, v.Refuse("at least one name: a release for any hardware has no such member")
	}
	return names, err
}

func readRollout(v strict.Value) (*Rollout, error) {
	start, err := v.Field("start")
	if err != nil {
		return nil, err
	}
	duration, err := v.Field("duration")
	if err != nil {
		return nil, err
	}
	var r Rollout
	if r.Start, err = start.Time(); err != nil {
		return nil, err
	}
	seconds, err := duration.Int()
	if err != nil {
		return nil, err
	}
	if seconds < 0 || seconds > int64(RolloutMax/time.Second) {
		return nil, duration.Refuse(fmt.Sprintf("seconds from 0 to %d", int64(RolloutMax/time.Second)))
	}
	r.Duration = time.Duration(seconds) * time.Second
	return &r, nil
}

func readRequires(v strict.Value) ([]Requirement, error) {
	var all []Requirement
	seen := map[string]bool{}
	err := v.Array(func(n int, element strict.Value) error {
		if n == RequiresMax {
			return v.Refuse(fmt.Sprintf("at most %d components", RequiresMax))
		}
		r, err := readRequirement(element)
		if err != nil {
			return err
		}
		if seen[r.Component] {
			return element.Refuse("a component that was not listed before")
		}
		seen[r.Component] = true
		all = append(all, r)
		return nil
	})
	return all, err
}

func readRequirement(v strict.Value) (r Requirement, err error) {
	component, err := v.Field("component")
	if err != nil {
		return r, err
	}
	index, err := v.Field("rollback_index")
	if err != nil {
		return r, err
	}
	if r.Component, err = readText(component, ValidName, wantName); err != nil {
		return r, err
	}
	r.RollbackIndex, err = readIndex(index)
	return r, err
}

// What the fields must be, in the words of an error.
const (
	wantVersion = "1 to 64 printable characters"
	wantNotes   = "at most 4096 bytes of printable characters, tabs and line feeds"
	wantName    = "1 to 64 of A-Z a-z 0-9 . _ -"
	wantIndex   = "an integer from 0 to 2^53-1"
)

// ValidName reports whether s can name hardware or a component: 1 to 64 of A–Z a–z 0–9 . _ -.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > NameBytesMax {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func validVersion(s string) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > VersionRunesMax {
		return false
	}
	return printable(s, "")
}

func validNotes(s string) bool {
	return len(s) <= NotesBytesMax && utf8.ValidString(s) && printable(s, "\t\n")
}

// printable reports whether s holds only characters that a terminal shows as such, and those in also: a version or a
// note is shown to an operator, and must not move the cursor or hide text.
func printable(s, also string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) && !strings.ContainsRune(also, r) {
			return false
		}
	}
	return true
}
