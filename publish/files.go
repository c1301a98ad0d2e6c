package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// fileName is a metadata file's name: "timestamp.json", or "7.targets.json" (TUF 6.2).
func fileName(role string, version int64) string {
	if version == 0 {
		return role + ".json"
	}
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

func (r *Repo) path(role string, version int64) string {
	return filepath.Join(MetadataDir(r.dir), fileName(role, version))
}

// highest is the highest version of a role's files that exists, published or not: what a new one must exceed.
func (r *Repo) highest(role string) (int64, error) {
	entries, err := os.ReadDir(MetadataDir(r.dir))
	if err != nil {
		return 0, err
	}
	var highest int64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), "."+role+".json")
		v, err := strconv.ParseInt(digits, 10, 64)
		if ok && err == nil && fileName(role, v) == e.Name() {
			highest = max(highest, v)
		}
	}
	if highest == 0 {
		return 0, fmt.Errorf("%s: no N.%s.json: restore it from the server or a copy", MetadataDir(r.dir), role)
	}
	return highest, nil
}

// readVersion reads a metadata file and checks that it is the role and version that its name says.
func readVersion[T any](r *Repo, role string, version int64) (document[T], []byte, error) {
	return readDocument[T](r.path(role, version), role, version)
}

// readDocument reads a role's file; version 0 accepts any.
func readDocument[T any](path, role string, version int64) (document[T], []byte, error) {
	b, err := readFile(path, metadataBytesMax)
	if err != nil {
		return document[T]{}, nil, err
	}
	d, err := decode[T](b)
	if err != nil {
		return d, nil, fmt.Errorf("%s: %w", path, err)
	}
	head := headOf(&d.Signed)
	if head.role != role || head.version < 1 || version != 0 && head.version != version {
		return d, nil, fmt.Errorf("%s: expected %s version %d, it says %s version %d",
			path, role, version, head.role, head.version)
	}
	if _, err := parseTime(head.expires); err != nil {
		return d, nil, fmt.Errorf("%s: expires: %w", path, err)
	}
	return d, b, nil
}

// A head is what every role's signed part has.
type head struct {
	role    string
	version int64
	expires string
}

func headOf(signed any) head {
	switch s := signed.(type) {
	case *rootSigned:
		return head{s.Type, s.Version, s.Expires}
	case *targetsSigned:
		return head{s.Type, s.Version, s.Expires}
	case *snapshotSigned:
		return head{s.Type, s.Version, s.Expires}
	case *timestampSigned:
		return head{s.Type, s.Version, s.Expires}
	}
	return head{}
}

// readTimestamp reads the published timestamp.
func (r *Repo) readTimestamp() (document[timestampSigned], error) {
	d, _, err := readVersion[timestampSigned](r, roleTimestamp, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("%w: restore it from the server: a new one would start at version 1, which devices refuse", err)
	}
	if err != nil {
		return d, err
	}
	return d, checkOrigin(r, roleTimestamp, d)
}
