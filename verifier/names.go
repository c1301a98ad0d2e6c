package verifier

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// FileName is the name of a role's metadata file below the metadata URL: the role name percent-encoded, with the
// version in front when it is not 0, and ".json" behind. Every byte but A-Z a-z 0-9 - . _ ~ is encoded, so the
// name is one path segment, whatever the role is called, and safe as a local file name too: it always ends in
// ".json", so it is never "." or "..".
func FileName(role string, version int64) string {
	name := escapeRole(role) + ".json"
	if version == 0 {
		return name
	}
	return strconv.FormatInt(version, 10) + "." + name
}

// escapeRole percent-encodes a role name (RFC 3986 section 2.1).
func escapeRole(role string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(role) {
		c := role[i]
		if isUnreserved(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// isUnreserved reports whether a byte stands for itself in a URL (RFC 3986 section 2.3).
func isUnreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~'
}

// hashedName puts the hash in front of the last segment of a target path (TUF 5.7.3). SHA-256 comes first, always
// the same choice: a resumed download and a cache depend on it.
func hashedName(t Target) string {
	sum := t.SHA256
	if len(sum) == 0 {
		sum = t.SHA512
	}
	dir, base := "", t.Path
	if i := strings.LastIndexByte(t.Path, '/'); i >= 0 {
		dir, base = t.Path[:i+1], t.Path[i+1:]
	}
	return dir + hex.EncodeToString(sum) + "." + base
}

// isTopLevel reports whether the specification fixes the role's name; no delegated role may take it.
func isTopLevel(role string) bool {
	switch role {
	case Root, Timestamp, Snapshot, Targets:
		return true
	}
	return false
}
