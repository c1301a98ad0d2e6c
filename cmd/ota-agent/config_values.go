package main

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ota-agent/ota-agent/agent/files"
)

// Bounds of single values.
const (
	nameBytesMax   = 64
	textBytesMax   = 256
	targetBytesMax = 512
	// identityBytesMax bounds the file that holds a device's ID.
	identityBytesMax = 4 << 10
	// filePrefix begins a device ID that a file holds: "file:/etc/machine-id".
	filePrefix = "file:"
	// uninitialized stands in /etc/machine-id until a device's first boot has made its ID (machine-id(5)). An
	// ID of zeros alone is none either.
	uninitialized = "uninitialized"
)

// A checker looks at values and keeps what is wrong with them.
type checker struct {
	file   string
	at     lines
	wrongs []*configError
}

// wrong notes that a key's value is wrong. The format says what is wanted and what came.
func (c *checker) wrong(key, format string, args ...any) {
	c.wrongs = append(c.wrongs, &configError{file: c.file, line: c.at[key],
		what: fmt.Sprintf("config key %q: ", key) + fmt.Sprintf(format, args...)})
}

// missing is wrong for a key that may not be there at all: its table's line helps then.
func (c *checker) missing(key, format string, args ...any) {
	c.wrong(key, format, args...)
	last := c.wrongs[len(c.wrongs)-1]
	for table := key; last.line == 0 && table != ""; {
		table = table[:max(0, strings.LastIndexByte(table, '.'))]
		last.line = c.at[table]
	}
}

// first is the failure that stands first in the file, or nil.
func (c *checker) first() error {
	if len(c.wrongs) == 0 {
		return nil
	}
	return slices.MinFunc(c.wrongs, func(a, b *configError) int { return cmp.Compare(a.line, b.line) }).fail()
}

// optional leaves out the check where there is no value.
func (c *checker) optional(key, value string, check func(key, value string) string) string {
	if value == "" {
		return ""
	}
	return check(key, value)
}

// name is 1–64 of A–Z a–z 0–9 . _ -, and no file name with a meaning.
func (c *checker) name(key, value string) string {
	if !isName(value) {
		c.missing(key, "want 1 to %d of A-Z a-z 0-9 . _ -, got %s", nameBytesMax, quoted(value))
	}
	return value
}

func isName(value string) bool {
	ok := value != "" && len(value) <= nameBytesMax && value != "." && value != ".."
	for _, r := range value {
		ok = ok && (r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("._-", r))
	}
	return ok
}

// text is anything printable on one line.
func (c *checker) text(key, value string) string {
	if len(value) > textBytesMax || strings.ContainsFunc(value, unicode.IsControl) {
		c.wrong(key, "want at most %d bytes without control characters, got %s", textBytesMax, quoted(value))
	}
	return value
}

// path is absolute: the service manager and a shell have different working directories.
func (c *checker) path(key, value string) string {
	if !filepath.IsAbs(value) || strings.ContainsRune(value, 0) {
		c.missing(key, "want an absolute path, got %s", quoted(value))
	}
	return filepath.Clean(value)
}

func (c *checker) choice(key, value string, known ...string) string {
	if !slices.Contains(known, value) {
		c.wrong(key, "want one of %s, got %s", strings.Join(known, ", "), quoted(value))
	}
	return value
}

// url never shows the value: there may be a password in it.
func (c *checker) url(key, value string, schemes ...string) string {
	u, err := url.Parse(value)
	switch {
	case err != nil || !slices.Contains(schemes, u.Scheme):
		c.missing(key, "want a URL that begins with %s://", strings.Join(schemes, ":// or "))
	case u.Scheme == "file" && (u.Host != "" || !filepath.IsAbs(u.Path)):
		c.wrong(key, "want file:///DIRECTORY with three slashes")
	case u.Scheme != "file" && u.Hostname() == "":
		c.wrong(key, "the URL names no host")
	}
	return value
}

// target is a target path with placeholders.
func (c *checker) target(key, value string) string {
	rest := value
	for _, known := range []string{"{hardware}", "{channel}", "{device}", "{group}", "{component}"} {
		rest = strings.ReplaceAll(rest, known, "x")
	}
	switch {
	case value == "" || len(value) > targetBytesMax:
		c.missing(key, "want a target path of 1 to %d bytes, got %d", targetBytesMax, len(value))
	case strings.ContainsAny(rest, "{}"):
		c.wrong(key, "known in braces are {hardware} {channel} {device} {group} {component}, got %s", quoted(value))
	case strings.HasPrefix(rest, "/") || strings.ContainsFunc(rest, unicode.IsControl):
		c.wrong(key, "want a target path as the metadata lists it, without a slash in front, got %s", quoted(value))
	}
	return value
}

// duration is a number with a unit, or several: "90s", "1h30m", "7d".
func (c *checker) duration(key, value string, usual, min, max time.Duration) time.Duration {
	if value == "" {
		return usual
	}
	d, err := parseDuration(value)
	if err != nil {
		c.wrong(key, "want a number with a unit (s, m, h, d), such as \"90s\" or \"6h\", got %s", quoted(value))
	} else if d < min || d > max {
		c.wrong(key, "want %s to %s, got %s", min, max, quoted(value))
	}
	return d
}

// daysMax is more days than any bound, and fewer than overflow.
const daysMax = 10_000

func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > daysMax {
			return 0, fmt.Errorf("not a number of days: %q", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}

// fromFile reads a value that a file holds, so that one config fits a whole fleet.
func (c *checker) fromFile(key, value string) string {
	path, ok := strings.CutPrefix(value, filePrefix)
	if !ok {
		return value
	}
	b, err := files.Read(c.path(key, path), identityBytesMax)
	if err != nil {
		c.wrong(key, "can't read it from its file: %v", err)
		return "unknown"
	}
	id := strings.Trim(string(b), " \t\r\n\x00") // a device tree's text ends with NUL
	if id == uninitialized || id != "" && strings.Trim(id, "0") == "" {
		c.wrong(key, "%s says %s, which is no ID: all devices say so that have none yet", path, quoted(id))
		c.wrongs[len(c.wrongs)-1].hint = "let the file get its ID first: systemd writes /etc/machine-id early in the first boot; " +
			"where it does not, run systemd-machine-id-setup"
	}
	if !isName(id) {
		// What it holds is not shown: it may be a link to what whoever reads the error may not read.
		c.wrong(key, "%s holds no ID: want 1 to %d of A-Z a-z 0-9 . _ -; it has %d bytes", path, nameBytesMax, len(b))
		return "unknown"
	}
	return id
}

// quoted shows a value from the config, cut short.
func quoted(s string) string {
	if len(s) > nameBytesMax {
		s = s[:nameBytesMax] + "…"
	}
	if s == "" {
		return "nothing"
	}
	return strconv.Quote(s)
}
