package install

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of a status answer.
const (
	linesMax    = 256
	slotsMin    = 2
	slotsMax    = 8
	slotNameMax = 32 // bytes
	versionMax  = 64 // characters
	hashHexLen  = 64 // SHA-256 in hex
	quotedMax   = 80 // bytes of a hook's words that an error repeats
)

// A report is a whole status answer: what the agent wants to know, and what only the runner does.
type report struct {
	slots   agent.Slots
	mounted map[string]bool
}

// ParseStatus reads the answer of a hook's status verb: lines "key=value", in any order.
//
//	slots=A,B      the slots' names, each 1 to 32 of A-Z a-z 0-9 . _ -; two to eight of them
//	booted=A       the slot that runs
//	primary=A      the slot that boots unless one is tried; may be empty where none can
//	state.A=good   good or bad, for each slot
//	version.A=1.2  what the slot holds, 1 to 64 printable characters; optional
//	sha256.A=…     the hash of the image that the slot holds, 64 hex digits; optional
//	mounted.A=yes  yes where the slot is in use and must not be written; optional
//	input=path     path where install must be given a file; stream otherwise
//
// A value may be empty where it is optional. Unknown keys are ignored, a key that comes twice is refused: the hook
// and the agent might believe different ones. The answer is at most 64 KiB and 256 lines of UTF-8.
func ParseStatus(answer []byte) (agent.Slots, error) {
	r, err := parseReport(answer)
	return r.slots, err
}

func parseReport(answer []byte) (report, error) {
	values, err := parseLines(answer)
	if err != nil {
		return report{}, err
	}
	r := report{mounted: make(map[string]bool)}
	names, err := parseSlotNames(values["slots"])
	if err != nil {
		return report{}, err
	}
	r.slots.Slots = make(map[string]agent.Slot, len(names))
	for _, name := range names {
		slot, err := parseSlot(values, name)
		if err != nil {
			return report{}, err
		}
		r.slots.Slots[name] = slot
		if r.mounted[name], err = parseChoice(values, "mounted."+name, "no", "yes"); err != nil {
			return report{}, err
		}
	}
	r.slots.Booted, r.slots.Primary = values["booted"], values["primary"]
	if _, ok := r.slots.Slots[r.slots.Booted]; !ok {
		return report{}, fmt.Errorf("booted=%s: expected one of slots=%s", quoted(r.slots.Booted), values["slots"])
	}
	if _, ok := r.slots.Slots[r.slots.Primary]; !ok && r.slots.Primary != "" {
		return report{}, fmt.Errorf("primary=%s: expected one of slots=%s", quoted(r.slots.Primary), values["slots"])
	}
	r.slots.InputPath, err = parseChoice(values, "input", "stream", "path")
	if err != nil {
		return report{}, err
	}
	return r, nil
}

// parseLines splits an answer into its keys and values.
func parseLines(answer []byte) (map[string]string, error) {
	if len(answer) > answerBytesMax {
		return nil, fmt.Errorf("more than %d bytes", answerBytesMax)
	}
	if !utf8.Valid(answer) {
		return nil, errors.New("not UTF-8")
	}
	values := make(map[string]string)
	number := 0
	for raw := range bytes.Lines(answer) {
		number++
		if number > linesMax {
			return nil, fmt.Errorf("more than %d lines", linesMax)
		}
		line := string(bytes.TrimSuffix(raw, []byte("\n")))
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("line %d is %s: expected key=value", number, quoted(line))
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			return nil, fmt.Errorf("line %d is %s: character %d can't be printed", number, quoted(line), i+1)
		}
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("line %d: key %s comes twice", number, quoted(key))
		}
		values[key] = value
	}
	return values, nil
}

func parseSlotNames(value string) ([]string, error) {
	names := strings.Split(value, ",")
	if len(names) < slotsMin || len(names) > slotsMax {
		return nil, fmt.Errorf("slots=%s: expected %d to %d names with commas between them", quoted(value), slotsMin, slotsMax)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if !slotName(name) {
			return nil, fmt.Errorf("slots=%s: name %s is not 1 to %d of A-Z a-z 0-9 . _ -",
				quoted(value), quoted(name), slotNameMax)
		}
		if seen[name] {
			return nil, fmt.Errorf("slots=%s: %s comes twice", quoted(value), name)
		}
		seen[name] = true
	}
	return names, nil
}

// slotName says whether a name can be a slot's. It is an argument of the hook and part of file names there, so it
// does not begin with "-" or ".".
func slotName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= slotNameMax && s[0] != '-' && s[0] != '.'
}

func parseSlot(values map[string]string, name string) (agent.Slot, error) {
	var s agent.Slot
	state, ok := values["state."+name]
	if !ok || state != "good" && state != "bad" {
		return s, fmt.Errorf("state.%s=%s: expected good or bad", name, quoted(state))
	}
	s.Good = state == "good"
	s.Version = values["version."+name]
	if utf8.RuneCountInString(s.Version) > versionMax {
		return s, fmt.Errorf("version.%s=%s: longer than %d characters", name, quoted(s.Version), versionMax)
	}
	hash := values["sha256."+name]
	if hash == "" {
		return s, nil
	}
	sum, err := parseSHA256(hash)
	if err != nil {
		return s, fmt.Errorf("sha256.%s=%s: %w", name, quoted(hash), err)
	}
	s.SHA256 = hex.EncodeToString(sum) // one spelling: the agent compares strings
	return s, nil
}

func parseSHA256(s string) ([]byte, error) {
	sum, err := hex.DecodeString(s)
	if err != nil || len(s) != hashHexLen {
		return nil, fmt.Errorf("expected %d hex digits", hashHexLen)
	}
	return sum, nil
}

// parseChoice is true for the value yes, false for no and for a key that is missing or empty.
func parseChoice(values map[string]string, key, no, yes string) (bool, error) {
	switch v := values[key]; v {
	case yes:
		return true, nil
	case no, "":
		return false, nil
	default:
		return false, fmt.Errorf("%s=%s: expected %s or %s", key, quoted(v), no, yes)
	}
}

// quoted is a hook's word in an error: quoted, and not longer than a line.
func quoted(s string) string {
	if len(s) > quotedMax {
		return fmt.Sprintf("%q…", s[:quotedMax])
	}
	return fmt.Sprintf("%q", s)
}
