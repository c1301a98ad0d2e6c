package verifier

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// A vote is what one repository verified about the path.
type vote struct {
	repository string
	found      Found
	ota        strict.Value // custom.ota as received
	canonical  []byte       // and in its canonical form; nil without one
	listed     bool         // else it is verified that the repository does not list the path
	err        error        // else any other failure
}

// judge turns an outcome into a vote.
func (c *Choice) judge(repository string, found Found, err error) vote {
	v := vote{repository: repository, found: found}
	switch {
	case isVerifiedAbsence(err, c.path):
	case err != nil:
		v.err = err
	case found.Target.Path != c.path || found.Target.Length < 0 || found.Target.ID() == "":
		refusal := refuse(ErrMalformed, section4, "what a search for the path found", "a target "+excerpt(found.Target.Path))
		refusal.Path = c.path
		v.err = refusal
	default:
		v.listed = true
		v.err = v.readOTA()
	}
	return v
}

// isVerifiedAbsence reports whether err is that of a search which ended well without the path. It follows the one
// chain of wrapped errors and not the branches of a joined one: who looked in vain and also failed to commit, or to
// reach somebody, has not verified anything. An absence of another path says nothing about this one.
func isVerifiedAbsence(err error, path string) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if refusal, ok := err.(*MetadataError); ok {
			return refusal.Err == ErrNotListed && refusal.Path == path
		}
	}
	return false
}

// readOTA reads custom.ota.
func (v *vote) readOTA() error {
	if v.found.Target.Custom == nil {
		return nil
	}
	custom, err := strict.Parse(v.found.Target.Custom)
	if err == nil {
		if ota, ok := custom.Lookup("ota"); ok {
			v.ota = ota
			v.canonical, err = ota.Canonical()
		}
	}
	if err != nil {
		refusal := malformed(section4, err)
		refusal.Path = v.found.Target.Path
		return refusal
	}
	return nil
}

// differs names the first thing that two votes disagree in; empty when they agree. To agree is transitive, so that
// votes fall into groups: a hash that only one side lists is a difference.
func (v vote) differs(w vote) string {
	a, b := v.found.Target, w.found.Target
	switch {
	case a.Length != b.Length:
		return fmt.Sprintf("length (%d, %d)", a.Length, b.Length)
	case !bytes.Equal(a.SHA256, b.SHA256):
		return "sha256"
	case !bytes.Equal(a.SHA512, b.SHA512):
		return "sha512"
	case !bytes.Equal(v.canonical, w.canonical):
		return "custom.ota"
	}
	return ""
}

// agreeing are the votes that agree with v, itself among them.
func agreeing(votes []vote, v vote) []vote {
	var group []vote
	for _, w := range votes {
		if v.differs(w) == "" {
			group = append(group, w)
		}
	}
	return group
}

// agree makes the outcome of a group that agrees.
func agree(group []vote) Agreed {
	first := group[0]
	a := Agreed{Target: first.found.Target, Expires: first.found.Expires}
	a.Target.Name, a.Target.Custom = "", nil
	if first.canonical != nil {
		a.Target.Custom = slices.Concat([]byte(`{"ota":`), first.ota.Raw(), []byte("}"))
	}
	for _, v := range group {
		a.Votes = append(a.Votes, Vote{Repository: v.repository, Found: v.found})
		a.Expires = earliest(a.Expires, v.found.Expires)
	}
	return a
}
