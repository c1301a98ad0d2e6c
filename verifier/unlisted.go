package verifier

import (
	"slices"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// Bounds of the look for paths that are like the one that is not listed. It costs one pass over files that
// were read anyway.
const (
	// nearMax candidates are kept, whatever is listed.
	nearMax = 16
	// nearBytesMax is the longest path that is compared, in bytes: a hint that is longer helps nobody.
	nearBytesMax = 256
)

// An Unlisted is what a search saw that ended with ErrNotListed: for people who have to find out why.
type Unlisted struct {
	// Path is what was searched for.
	Path string
	// Roles are the trusted roles that were searched, in this order. The first is targets.
	Roles []string
	// Near are listed paths that begin and end as Path does, those that share most first, at most nearMax. They come from
	// documents: whoever shows them cleans them.
	Near []Listed
}

// A Listed is a path and the role that lists it.
type Listed struct{ Path, Role string }

// Unlisted tells what a search saw that found nothing. Call it once Found says so.
func (s *Search) Unlisted() Unlisted {
	near := slices.Clone(s.near)
	if t := s.refresh.targets; t != nil {
		near.look(s.path, t) // only now: most searches that leave it go on to a role that lists the path
	}
	u := Unlisted{Path: s.path, Roles: append([]string{Targets}, s.order...)}
	for _, n := range near {
		u.Near = append(u.Near, n.Listed)
	}
	return u
}

// A near list keeps the candidates that were seen, those with the fewest differing bytes first.
type near []candidate

type candidate struct {
	Listed
	differ int // bytes between the shared beginning and the shared end, of the longer path
}

// look takes the paths that a role lists.
func (n *near) look(path string, t *targetsRole) {
	if len(path) > nearBytesMax {
		return
	}
	_ = t.targets.Object(func(name []byte, _ strict.Value) error { // it was read as an object before
		if len(name) > nearBytesMax {
			return nil
		}
		differ := differing(path, name)
		if len(*n) == nearMax && differ >= (*n)[nearMax-1].differ {
			return nil
		}
		at, _ := slices.BinarySearchFunc(*n, differ+1, func(c candidate, d int) int { return c.differ - d })
		*n = slices.Insert(*n, at, candidate{Listed{string(name), t.role}, differ})
		*n = (*n)[:min(len(*n), nearMax)]
		return nil
	})
}

// differing counts the bytes of the longer path that lie between the beginning and the end that both share.
func differing(path string, name []byte) int {
	shorter := min(len(path), len(name))
	begin := 0
	for begin < shorter && path[begin] == name[begin] {
		begin++
	}
	end := 0
	for end < shorter-begin && path[len(path)-1-end] == name[len(name)-1-end] {
		end++
	}
	return max(len(path), len(name)) - begin - end
}
