package verifier

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// Bounds of a map file. Its author is whoever configures the device, so they are against accidents, not attacks; but a
// file that another program wrote may still cost only so much.
const (
	// MapBytesMax is the longest map file accepted, in bytes.
	MapBytesMax = 256 << 10

	mapRepositoriesMax = 64  // repositories in the file, and in one mapping
	mapMirrorsMax      = 16  // URLs of one repository
	mapMappingsMax     = 128 // mappings in the file
	mapPathsMax        = 128 // patterns in one mapping
	mapNameBytesMax    = 64  // a repository's name, in bytes
	mapTextBytesMax    = 2048
)

// section4 names the proposal where errors name a section of the specification.
const section4 = "TAP 4"

// A Map says which repositories may speak for which target paths, and how many of them must agree (TAP 4). It is a
// value above refreshes: it knows names and URLs, and nothing of roots, keys or files. Only ParseMap makes one that is
// not the zero Map, which maps no path.
type Map struct {
	repositories map[string][]string
	mappings     []mapping
}

// A mapping gives paths to repositories. Their names differ, and threshold is from 1 to their number.
type mapping struct {
	paths        []string // patterns, as in delegations
	repositories []string // in the order of the file
	threshold    int64
	terminating  bool
}

// ParseMap reads a map file of at most MapBytesMax bytes:
//
//	{"repositories": {NAME: [URL, …], …},
//	 "mapping": [{"paths": [PATTERN, …], "repositories": [NAME, …], "threshold": N, "terminating": BOOL}, …]}
//
// A mapping must name its threshold: a default would be a guess about trust. terminating may be left out, and is false
// then. A repository that a mapping lists twice counts once. Members of other names are ignored, and names are compared
// exactly. A repository's name is 1 to 64 of A-Z a-z 0-9 - . _ ~, and not "." or "..", so that a directory can be
// called so. An error is a *MetadataError of class ErrMalformed or ErrLimitExceeded that names the place in the file.
func ParseMap(raw []byte) (Map, error) {
	if len(raw) > MapBytesMax {
		want := fmt.Sprintf("at most %d bytes", MapBytesMax)
		return Map{}, refuse(ErrLimitExceeded, section4, want, fmt.Sprint(len(raw))).of("map", 0)
	}
	m, err := readMap(raw)
	if err != nil {
		return Map{}, malformed(section4, err).of("map", 0)
	}
	return m, nil
}

// Repositories lists the names of all repositories, sorted.
func (m Map) Repositories() []string { return slices.Sorted(maps.Keys(m.repositories)) }

// URLs are the mirrors of a repository, in the order to try them; none when the map does not have the repository.
func (m Map) URLs(repository string) []string { return slices.Clone(m.repositories[repository]) }

func readMap(raw []byte) (Map, error) {
	var m Map
	v, err := strict.Parse(raw)
	if err != nil {
		return m, err
	}
	// The repositories come first, wherever they stand in the file: mappings are held against them.
	err = v.Object(func(name []byte, v strict.Value) (err error) {
		if string(name) == "repositories" {
			m.repositories, err = readMapRepositories(v)
		}
		return err
	})
	if err != nil {
		return m, err
	}
	err = v.Object(func(name []byte, v strict.Value) (err error) {
		if string(name) == "mapping" {
			m.mappings, err = m.readMappings(v)
		}
		return err
	})
	if err == nil && (m.repositories == nil || m.mappings == nil) {
		err = v.Refuse("an object with repositories and mapping")
	}
	return m, err
}

func readMapRepositories(v strict.Value) (map[string][]string, error) {
	all := map[string][]string{}
	err := v.Object(func(field []byte, v strict.Value) (err error) {
		name := string(field)
		switch {
		case len(all) >= mapRepositoriesMax:
			return v.Refuse(fmt.Sprintf("at most %d repositories", mapRepositoriesMax))
		case !isMapName(name):
			return v.Refuse("a repository named by 1 to 64 of A-Z a-z 0-9 - . _ ~")
		}
		all[name], err = readMapTexts(v, mapMirrorsMax, "URL")
		return err
	})
	return all, err
}

// isMapName reports whether a repository may be called so: its metadata lies in a directory of that name.
func isMapName(name string) bool {
	for _, c := range []byte(name) {
		if !isUnreserved(c) {
			return false
		}
	}
	return name != "" && len(name) <= mapNameBytesMax && name != "." && name != ".."
}

// readMapTexts reads a list of 1 to countMax texts, none of them empty.
func readMapTexts(v strict.Value, countMax int, what string) ([]string, error) {
	var texts []string
	err := v.Array(func(i int, v strict.Value) error {
		text, err := v.Text()
		switch {
		case i >= countMax:
			return v.Refuse(fmt.Sprintf("at most %d in the list", countMax))
		case err != nil || text == "" || len(text) > mapTextBytesMax:
			return v.Refuse(fmt.Sprintf("a %s of 1 to %d bytes", what, mapTextBytesMax))
		}
		texts = append(texts, text)
		return nil
	})
	if err == nil && len(texts) == 0 {
		err = v.Refuse("a list of at least one " + what)
	}
	return texts, err
}

func (m Map) readMappings(v strict.Value) ([]mapping, error) {
	var all []mapping
	err := v.Array(func(i int, v strict.Value) error {
		if i >= mapMappingsMax {
			return v.Refuse(fmt.Sprintf("at most %d mappings", mapMappingsMax))
		}
		one, err := m.readMapping(v)
		all = append(all, one)
		return err
	})
	if err == nil && len(all) == 0 {
		err = v.Refuse("a list of at least one mapping")
	}
	return all, err
}

func (m Map) readMapping(v strict.Value) (mapping, error) {
	var one mapping
	err := v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "paths":
			one.paths, err = readMapTexts(v, mapPathsMax, "pattern")
		case "repositories":
			one.repositories, err = m.readMapped(v)
		case "threshold":
			if one.threshold, err = v.Int(); err != nil || one.threshold < 1 {
				err = v.Refuse("a threshold of 1 or more")
			}
		case "terminating":
			one.terminating, err = v.Bool()
		}
		return err
	})
	switch {
	case err != nil:
		return one, err
	case one.paths == nil, one.repositories == nil, one.threshold == 0:
		return one, v.Refuse("an object with paths, repositories and threshold")
	case one.threshold > int64(len(one.repositories)):
		return one, v.Refuse(fmt.Sprintf("a threshold of at most %d, the number of different repositories", len(one.repositories)))
	}
	return one, nil
}

// readMapped reads the repositories of a mapping, each once.
func (m Map) readMapped(v strict.Value) ([]string, error) {
	names, err := readMapTexts(v, mapRepositoriesMax, "repository")
	if err != nil {
		return nil, err
	}
	var once []string
	err = v.Array(func(i int, v strict.Value) error {
		if m.repositories[names[i]] == nil {
			return v.Refuse("a repository that the map lists under repositories, not " + excerpt(names[i]))
		}
		if !slices.Contains(once, names[i]) {
			once = append(once, names[i])
		}
		return nil
	})
	return once, err
}
