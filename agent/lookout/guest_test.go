package lookout

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Whatever a guest puts into the inhibit directory holds updates back, and shows nothing that the guest may
// not read: no link is followed, hard or symbolic, and nothing that could block is waited for.
func TestWhatAGuestPlacesClosesTheGateAndShowsNothing(t *testing.T) {
	dir := tree(t, map[string]string{"inhibit/file": "a reason", "inhibit/directory/": "", "secret": "root:$6$hash"})
	at := func(name string) string { return filepath.Join(dir, "inhibit", name) }
	for _, err := range []error{
		os.Symlink(filepath.Join(dir, "secret"), at("link")),
		os.Symlink("../secret", at("relative")),
		os.Symlink("file", at("neighbour")),
		os.Symlink("nothing", at("dangling")),
		os.Symlink("/dev/zero", at("endless")),
		os.Symlink("/proc/self/fd/0", at("magic")),
		os.Link(filepath.Join(dir, "secret"), at("hard")),
		syscall.Mkfifo(at("pipe"), 0o600),
		syscall.Mknod(at("socket"), syscall.S_IFSOCK|0o600, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	looked := make(chan agent.Surroundings, 1)
	go func() { looked <- (&Config{InhibitDir: filepath.Join(dir, "inhibit")}).Look(t.Context()) }()
	var want []agent.Inhibitor
	for _, name := range []string{"dangling", "directory", "endless", "file", "hard", "link", "magic", "neighbour", "pipe", "relative", "socket"} {
		want = append(want, agent.Inhibitor{Name: name})
	}
	want[3].Text = "a reason"
	select {
	case s := <-looked:
		if !reflect.DeepEqual(s.Inhibitors, want) {
			t.Errorf("got %+v\nwant %+v", s.Inhibitors, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the look blocks")
	}
}

// A name that counts can't be hidden behind names that do not, and too many of those close the gate.
func TestHiddenNamesHideNothing(t *testing.T) {
	dir := tree(t, nil)
	fill := func(n int) {
		for i := range n {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf(".%05d", i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func() []agent.Inhibitor { return (&Config{InhibitDir: dir}).Look(t.Context()).Inhibitors }
	fill(entriesMax + 50)
	if got := look(); len(got) != 0 {
		t.Errorf("names with a dot hold back: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "mission"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := look(); len(got) != 1 || got[0].Name != "mission" {
		t.Errorf("got %+v, want mission", got)
	}
	if err := os.Remove(filepath.Join(dir, "mission")); err != nil {
		t.Fatal(err)
	}
	fill(hiddenMax + entriesMax)
	if got := look(); len(got) != 1 || !strings.Contains(got[0].Text, "begin with a dot") {
		t.Errorf("got %+v, want a closed gate", got)
	}
}

// What stands in the directory's place closes the gate, too, and none of it is waited for.
func TestWhatStandsInTheDirectorysPlace(t *testing.T) {
	dir := tree(t, nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", at("dangling")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"socket", "pipe", "dangling"} {
		looked := make(chan []agent.Inhibitor, 1)
		go func() { looked <- (&Config{InhibitDir: at(name)}).Look(t.Context()).Inhibitors }()
		select {
		case got := <-looked:
			if len(got) != 1 {
				t.Errorf("%s: got %+v, want a closed gate", name, got)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the look blocks", name)
		}
	}
}

// A link says that the link costs money, wherever it leads.
func TestMeteredByALink(t *testing.T) {
	dir := tree(t, nil)
	if err := os.Symlink("nowhere", filepath.Join(dir, "metered")); err != nil {
		t.Fatal(err)
	}
	if s := (&Config{MeteredFile: filepath.Join(dir, "metered")}).Look(t.Context()); !s.Metered {
		t.Error("not metered")
	}
}
