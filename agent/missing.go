package agent

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/ota-agent/ota-agent/verifier"
)

// Bounds of what is shown of names that others chose: nothing that they list may fill a status or steer a terminal.
const (
	shownBytesMax = 256 // of a path, as long as the verifier compares
	shownRolesMax = 8
)

// A Missing says that the repository names nothing for a component's target path, and who said so.
type Missing struct {
	// Path is what was looked for.
	Path string
	// Roles are the trusted roles that do not list it, at most shownRolesMax; the first is targets.
	Roles []string
	// Nearest is the listed path that is most like Path, and Role the one that lists it; empty: none is like it.
	Nearest, Role string
}

// missing is what people need of a search that found nothing.
func missing(u verifier.Unlisted) *Missing {
	m := &Missing{Path: shown(u.Path)}
	for _, role := range u.Roles[:min(len(u.Roles), shownRolesMax)] {
		m.Roles = append(m.Roles, shown(role))
	}
	best := len(u.Path)*2/3 + 1 // what differs in more than that is not like it
	for _, l := range u.Near {
		if d := EditDistance(u.Path, l.Path); d < best {
			best, m.Nearest, m.Role = d, shown(l.Path), shown(l.Role)
		}
	}
	return m
}

// text says it in words.
func (m *Missing) text() string {
	words := fmt.Sprintf("the repository lists no target %s: none in role %s", m.Path, m.Roles[0])
	if len(m.Roles) > 1 {
		words += ", nor in what it delegates this path to (" + strings.Join(m.Roles[1:], ", ") + ")"
	}
	if m.Nearest != "" {
		words += fmt.Sprintf("; the nearest path that is listed is %s (role %s)", m.Nearest, m.Role)
	}
	return words
}

// shown is a text from outside, printable and cut.
func shown(s string) string {
	return cut(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s), shownBytesMax)
}

// EditDistance counts the insertions, deletions and replacements of bytes between two words (Levenshtein). It
// costs the product of their lengths: the caller bounds them.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
