package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// The suite's test_updater_delegation_graphs.py and test_quoting_issues.py.

// A branch is a delegation of everything, or of the paths named.
type branch struct {
	from, role  string
	terminating bool
	paths       []string
}

// grow delegates, and publishes all roles.
func (s *simulator) grow(branches []branch) {
	var roles []string
	for _, b := range branches {
		if b.paths == nil {
			b.paths = []string{"*"}
		}
		s.delegate(b.from, b.role, b.terminating, b.paths...)
		if !slices.Contains(roles, b.role) {
			roles = append(roles, b.role)
		}
	}
	s.publish(append(roles, "targets", "snapshot", "timestamp")...)
}

func TestSearchOrder(t *testing.T) {
	for name, c := range map[string]struct {
		branches []branch
		visited  string
	}{
		"basic-delegation":         {[]branch{{from: "targets", role: "A"}}, "A"},
		"single-level-delegations": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"}}, "A B"},
		"two-level-delegations": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "B", role: "C"}}, "A B C"},
		"two-level-DFS-order": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "A", role: "C"}, {from: "A", role: "D"}}, "A C D B"},
		"three-level-DFS-order": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "A", role: "C"}, {from: "C", role: "D"}}, "A C D B"},
		"two-level-terminating-ignores-all-but-its-descendants": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "A", role: "C", terminating: true}, {from: "A", role: "D"}}, "A C"},
		"three-level-terminating-ignores-all-but-its-descendants": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "A", role: "C", terminating: true}, {from: "C", role: "D"}}, "A C D"},
		"two-level-ignores-branches-not-matching": {[]branch{{from: "targets", role: "A", paths: []string{"*.py"}},
			{from: "targets", role: "B"}, {from: "A", role: "C"}}, "B"},
		"three-level-ignores-branches-not-matching": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "A", role: "C", paths: []string{"*.py"}}, {from: "C", role: "D"}}, "A B"},
		"cyclic-graph": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"}, {from: "B", role: "C"},
			{from: "C", role: "D"}, {from: "D", role: "B"}}, "A B C D"},
		"two-roles-delegating-to-a-third": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "B", role: "C"}, {from: "A", role: "C"}}, "A C B"},
		"two-roles-delegating-to-a-third-different-paths": {[]branch{{from: "targets", role: "A"}, {from: "targets", role: "B"},
			{from: "B", role: "C"}, {from: "A", role: "C", paths: []string{"*.py"}}}, "A B C"},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newTrusting(t)
			s.grow(c.branches)
			visited := strings.Fields(c.visited)
			d.download(1, "missingpath")
			d.wantAsked(append([]string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"}, names(visited)...)...)
			d.wantTrusted("root 1, snapshot 2, targets 2, timestamp 2", len(visited))
			d.download(1, "missingpath")
			d.wantAsked("2.root.json", "timestamp.json") // the roles are there
		})
	}
}

// names are the files of the first versions of roles.
func names(roles []string) (names []string) {
	for _, role := range roles {
		names = append(names, "1."+role+".json")
	}
	return names
}

func TestSearchForATarget(t *testing.T) {
	tree := []branch{
		{from: "targets", role: "A", paths: []string{"*.doc", "*.md"}},
		{from: "targets", role: "B", paths: []string{"releases/*/*"}},
		{from: "B", role: "C", paths: []string{"releases/x/*"}},
		{from: "B", role: "D", paths: []string{"releases/y/*.zip"}},
	}
	for path, c := range map[string]struct {
		role    string
		found   bool
		visited string
	}{
		"targetfile":          {"targets", true, ""},
		"README.md":           {"A", true, "A"},
		"releases/x/x_v1":     {"C", true, "B C"},
		"releases/y/y_v1.zip": {"D", true, "B D"},
		"releases/z/z_v1.zip": {"D", false, "B"}, // not delegated to D
	} {
		t.Run(strings.ReplaceAll(path, "/", "|"), func(t *testing.T) {
			s, d := newTrusting(t)
			for _, role := range []string{"A", "B", "C", "D"} {
				s.docs[role] = document("targets", tuftest.Object{"targets": tuftest.Object{}})
			}
			s.add(c.role, path, "content by "+c.role)
			s.grow(tree)
			if c.found {
				d.download(0, path)
				d.wantGot("content by " + c.role)
			} else {
				d.download(1, path)
				d.wantGot()
			}
			d.wantAsked(append([]string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"},
				names(strings.Fields(c.visited))...)...)
		})
	}
}

func TestSearchInSuccinctBins(t *testing.T) {
	for _, bits := range []int{1, 3, 5, 8} {
		t.Run(fmt.Sprint(bits, " bits"), func(t *testing.T) {
			s, d := newTrusting(t)
			key := s.newKey()
			const path = "path/to/file"
			sum := sha256.Sum256([]byte(path))
			digits := len(fmt.Sprintf("%x", 1<<bits-1))
			bin := fmt.Sprintf("bin-%0*x", digits, binary.BigEndian.Uint32(sum[:])>>(32-bits))
			s.docs["targets"]["delegations"] = tuftest.Object{"keys": tuftest.Object{key.ID: key.Entry},
				"succinct_roles": tuftest.Object{"keyids": []string{key.ID}, "threshold": 1, "bit_length": bits, "name_prefix": "bin"}}
			for i := range 1 << bits {
				role := fmt.Sprintf("bin-%0*x", digits, i)
				s.docs[role] = document("targets", tuftest.Object{"targets": tuftest.Object{}})
				s.by[role] = []*tuftest.Key{key}
				if role == bin {
					s.add(role, path, "content")
				}
				s.publish(role)
			}
			s.publish("targets", "snapshot", "timestamp")
			d.download(0, path)
			d.wantAsked("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "1."+bin+".json")
			d.wantGot("content")
		})
	}
}

func TestUnusualRoleNames(t *testing.T) {
	for _, role := range []string{"?", "#", "/delegatedrole", "../delegatedrole", "..", ".", ".hidden", "%", "%2E", "a b",
		"ünïcode", "nul\x00", "ROOT", "root.json", strings.Repeat("long", 100)} {
		t.Run(role[:min(len(role), 20)], func(t *testing.T) {
			s, d := newTrusting(t)
			s.delegate("targets", role, false, "*")
			s.publish(role, "targets", "snapshot", "timestamp")
			d.download(1, "nonexistent target")
			d.wantLastAsked("1." + escapeSegment(role) + ".json")
			d.wantTrusted("root 1, snapshot 2, targets 2, timestamp 2", 1)
			d.download(1, "nonexistent target")
			d.wantAsked("2.root.json", "timestamp.json") // what was kept is found again
		})
	}
}

// escapeSegment percent-encodes as Python's quote does with nothing marked safe.
func escapeSegment(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
