package verifier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrDisagree is the class of a path that some repository of a mapping lists, but not enough of them in the same way.
var ErrDisagree = errors.New("too few repositories agree")

// ErrNotAsked is returned when a Choice is supplied with what it does not ask for. It does not end the Choice.
var ErrNotAsked = errors.New("not asked for")

// A Choice looks one target path up in the repositories of a Map (TAP 4). It is a conversation above theirs: Next names
// repositories; each is refreshed, with an anchor, a store and floors of its own, and searched; and Supply takes what
// Search.Found said. It never touches a Refresh. It is not safe for concurrent use.
//
// The first mapping that matches the path decides. Its repositories are counted in the order of the file, whatever the
// order in which they answer, until threshold of them agree: on the length, on the known hashes (the same ones, listed
// by each), and on the whole custom.ota, in its canonical form.
//
// It is stricter than TAP 4 in two ways, because whoever can block or own one repository must not choose who else is
// asked. The next mapping is gone to only if every repository of this one has verified that it does not list the path,
// and the mapping is not terminating. And what fails in any other way before the threshold is met, ends the Choice:
// unsigned, expired, or not reachable is not "not listed", and no other repository stands in for it.
//
// TAP 4 exempts custom metadata. But custom.ota says what a release is: its rollback index, what it requires, which
// hardware it is for. If it were exempt, one stolen repository could put another's good image on the wrong boards, or
// raise a floor beyond every release to come. It is compared whole, so that a field which this version does not know
// is agreed upon too.
type Choice struct {
	path     string
	mappings []mapping // that match the path; the first one is being asked
	votes    map[string]vote
	agreed   Agreed
	over     bool
	err      error
}

// Agreed is the outcome of a Choice.
type Agreed struct {
	// Target is what was agreed: path, length and hashes. Custom holds the member ota alone, because nothing else in
	// custom was compared; nil if there is none. Name is empty: each repository keeps the file under a name of its own.
	Target Target
	// Votes are those that agree, in the order of the map: where the file may be had from.
	Votes []Vote
	// Expires is when the first of them does.
	Expires time.Time
}

// A Vote is one repository's own word. Of Found.Target.Custom, only ota was agreed; Role and Signers are of this
// repository, and so is a floor bound to them.
type Vote struct {
	Repository string
	Found      Found
}

// Lookup starts a choice for a target path.
func (m Map) Lookup(path string) *Choice {
	c := &Choice{path: path, votes: map[string]vote{}}
	for _, one := range m.mappings {
		if slices.ContainsFunc(one.paths, func(pattern string) bool { return matchPath(pattern, path) }) {
			c.mappings = append(c.mappings, one)
		}
	}
	_ = c.advance() // no mapping: Agreed says so
	return c
}

// Next names the repositories whose word is still missing, in the order of the map; ok is false when the choice is
// over. Ask the first one, or all of them at once: it makes no difference to the outcome.
func (c *Choice) Next() (repositories []string, ok bool) {
	if c.over {
		return nil, false
	}
	for _, name := range c.mappings[0].repositories {
		if _, known := c.votes[name]; !known {
			repositories = append(repositories, name)
		}
	}
	return repositories, true
}

// Supply takes what a finished search of the path in a repository said: pass on Search.Found, or instead the error that
// kept it from a verified end. An error of class ErrNotListed counts only as Search.Found gives it, about this path;
// joined with another error it is a failure like any other. After an error the choice is over, but for
// ErrNotAsked. What comes after the end, of a repository asked at the same time, is refused with ErrFinished.
func (c *Choice) Supply(repository string, found Found, err error) error {
	asked, ok := c.Next()
	switch {
	case !ok:
		return ErrFinished
	case !slices.Contains(asked, repository):
		return fmt.Errorf("repository %s: %w", excerpt(repository), ErrNotAsked)
	}
	c.votes[repository] = c.judge(repository, found, err)
	return c.advance()
}

// Agreed yields what was agreed upon, or why nothing was: an error of class ErrNotListed or ErrDisagree, or the
// failure of one repository. Before the end it is ErrUnfinished.
func (c *Choice) Agreed() (Agreed, error) {
	if !c.over {
		return Agreed{}, ErrUnfinished
	}
	return c.agreed, c.err
}

// advance decides what can be decided, and goes through the mappings. Votes are counted in the order of the map, up to
// the first that is missing: who answers faster must not decide.
func (c *Choice) advance() error {
	for len(c.mappings) > 0 {
		first := c.mappings[0]
		var listed []vote
		for _, name := range first.repositories {
			v, known := c.votes[name]
			switch {
			case !known:
				return nil
			case v.err != nil:
				return c.fail(fmt.Errorf("repository %s: %w", name, v.err))
			case !v.listed:
				continue
			}
			listed = append(listed, v)
			if group := agreeing(listed, v); int64(len(group)) == first.threshold {
				c.over, c.agreed = true, agree(group)
				return nil
			}
		}
		if len(listed) > 0 {
			return c.fail(c.disagree(first, listed))
		}
		c.mappings = c.mappings[1:]
		if first.terminating {
			break
		}
	}
	refusal := refuse(ErrNotListed, section4, "a mapping of the path with a repository that lists it", "none")
	refusal.Path = c.path
	return c.fail(refusal)
}

func (c *Choice) fail(err error) error {
	c.over, c.err = true, err
	return err
}

// disagree says how the repositories of a mapping differ from the first one that lists the path.
func (c *Choice) disagree(m mapping, listed []vote) error {
	var got []string
	for _, name := range m.repositories {
		v := c.votes[name]
		switch {
		case !v.listed:
			got = append(got, name+" does not list it")
		case name == listed[0].repository:
			got = append(got, name+" lists it")
		case v.differs(listed[0]) == "":
			got = append(got, name+" lists the same")
		default:
			got = append(got, name+" differs in "+v.differs(listed[0]))
		}
	}
	want := countText(int(m.threshold), "repository", "repositories") + " to agree"
	refusal := refuse(ErrDisagree, section4, want, strings.Join(got, ", "))
	refusal.Path = c.path
	return refusal
}
