package verifier_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// unlisted searches for a path that no role lists.
func unlisted(t *testing.T, client *tuftest.Client, path string) verifier.Unlisted {
	t.Helper()
	search := refreshed(t, client).Find(path)
	if err := client.Drive(search); err != nil {
		t.Fatal(err)
	}
	if _, err := search.Found(); !errors.Is(err, verifier.ErrNotListed) {
		t.Fatalf("got %v", err)
	}
	return search.Unlisted()
}

// A search that finds nothing names the roles that it asked, and the listed paths that are most like what was
// asked for.
func TestUnlistedNamesRolesAndNearPaths(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Add("board/stable/rootfs.img", []byte("a"))
	repo.Targets().Add("other/beta/app.tar", []byte("b"))
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "vendor", Paths: []string{"board/*/*"}}).Add("board/stables/rootfs.img", []byte("c"))
	repo.Delegate("vendor", tuftest.Delegation{Name: "deeper", Paths: []string{"board/*/*"}})
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "elsewhere", Paths: []string{"other/*"}})
	repo.Publish(verifier.Targets)
	u := unlisted(t, client, "board/stabel/rootfs.img")
	if u.Path != "board/stabel/rootfs.img" || !slices.Equal(u.Roles, []string{"targets", "vendor", "deeper"}) {
		t.Errorf("got path %q, roles %q", u.Path, u.Roles)
	}
	want := []verifier.Listed{{Path: "board/stable/rootfs.img", Role: "targets"}, {Path: "board/stables/rootfs.img", Role: "vendor"}}
	if len(u.Near) < 2 || !slices.Equal(u.Near[:2], want) {
		t.Errorf("near are %v, want %v first", u.Near, want)
	}
}

// Whatever a role lists, at most 16 candidates are kept, and none that is long.
func TestNearPathsAreBounded(t *testing.T) {
	repo, client := newDevice()
	for i := range 2000 {
		repo.Targets().Add(fmt.Sprintf("board/stable/%06d.img", i), []byte("x"))
	}
	repo.Targets().Add("board/stable/"+strings.Repeat("y", 1<<16)+".img", []byte("x"))
	repo.Publish(verifier.Targets)
	u := unlisted(t, client, "board/stable/1999.img")
	if len(u.Near) != 16 || u.Near[0].Path != "board/stable/001999.img" {
		t.Errorf("%d near, the first is %v", len(u.Near), u.Near[:min(1, len(u.Near))])
	}
	if u := unlisted(t, client, strings.Repeat("z", 300)); len(u.Near) != 0 {
		t.Errorf("near to a long path are %v", u.Near)
	}
}
