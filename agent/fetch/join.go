package fetch

import (
	"net/url"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// nameBytesMax bounds a file name or path. Servers and file systems stop at 4 KiB or before.
const nameBytesMax = 4 << 10

// metadataURL is base with a file name behind it that is encoded already. Neither is encoded again, decoded or
// cleaned: a role named "../x" stays the one segment "..%2Fx".
func metadataURL(base *url.URL, name string) (*url.URL, error) {
	if !encoded(name) {
		return nil, malformedName(name)
	}
	return below(base, name)
}

// imageURL is base with a target's name behind it, each segment escaped by itself. Dot segments are refused:
// no escaping keeps every server from resolving them.
func imageURL(base *url.URL, name string) (*url.URL, error) {
	if err := checkImageName(name); err != nil {
		return nil, err
	}
	segments := strings.Split(name, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return below(base, strings.Join(segments, "/"))
}

// below keeps base's own escapes, its user and its query.
func below(base *url.URL, escaped string) (*url.URL, error) {
	u := *base
	u.Fragment, u.RawFragment = "", ""
	u.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + "/" + escaped
	path, err := url.PathUnescape(u.RawPath)
	if err != nil {
		return nil, malformedName(escaped)
	}
	u.Path = path
	return &u, nil
}

// encoded says whether name is one path segment as RFC 3986 writes it, and not a dot segment.
func encoded(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > nameBytesMax {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '%':
			if i+2 >= len(name) || !isHex(name[i+1]) || !isHex(name[i+2]) {
				return false
			}
			i += 2
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func checkImageName(name string) error {
	if name == "" || len(name) > nameBytesMax {
		return malformedName(name)
	}
	for s := range strings.SplitSeq(name, "/") {
		if s == "." || s == ".." {
			return malformedName(name)
		}
	}
	return nil
}

func malformedName(name string) error {
	return problem(agent.ReasonMalformed, "", "the name %q can't be asked for: empty, over %d bytes, or leading elsewhere; the metadata must name it otherwise",
		clip(name, 80), nameBytesMax)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// addressed says whether the file's name carries its hash (TUF 5.7.3): what is under that name never changes.
func addressed(name string) bool {
	last := name[strings.LastIndexByte(name, '/')+1:]
	digest, _, ok := strings.Cut(last, ".")
	if !ok || len(digest) != 64 && len(digest) != 128 {
		return false
	}
	for i := range len(digest) {
		if !isHex(digest[i]) {
			return false
		}
	}
	return true
}

// nextRoot says whether name is a numbered root file, the one file whose absence is the usual answer.
func nextRoot(name string) bool {
	number, ok := strings.CutSuffix(name, ".root.json")
	if !ok || number == "" {
		return false
	}
	for i := range len(number) {
		if number[i] < '0' || number[i] > '9' {
			return false
		}
	}
	return true
}
