package files

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// step is a place on a way: "UID:GID MODE PATH", the mode in ls's form for its type and in octal digits.
func step(path string, uid, gid uint32, mode fs.FileMode) Place {
	return Place{Path: path, UID: uid, GID: gid, Mode: mode}
}

func TestJudge(t *testing.T) {
	const dir, link, sticky = fs.ModeDir, fs.ModeSymlink, fs.ModeDir | fs.ModeSticky
	root, user := User{0, 0}, User{1000, 1000}
	top := step("/", 0, 0, dir|0o755)
	for _, c := range []struct {
		name  string
		steps []Place
		user  User
		guard Guard
		mend  string // of the fault; empty: none
	}{
		{"root's file", []Place{top, step("/f", 0, 0, 0o644)}, root, Unchanged, ""},
		{"world-writable", []Place{top, step("/f", 0, 0, 0o666)}, root, Unchanged, "chmod go-w /f"},
		{"writable for others alone", []Place{top, step("/f", 0, 0, 0o642)}, root, Unchanged, "chmod o-w /f"},
		{"writable for root's group", []Place{top, step("/f", 0, 0, 0o664)}, root, Unchanged, "chmod g-w /f"},
		{"of nobody", []Place{top, step("/f", 65534, 65534, 0o600)}, root, Unchanged, "chown -h 0 /f"},
		{"of a user, where root runs it", []Place{top, step("/f", 1000, 1000, 0o600)}, root, Unchanged, "chown -h 0 /f"},
		{"of the user who runs it", []Place{top, step("/f", 1000, 1000, 0o600)}, user, Unchanged, ""},
		{"of root, where a user runs it", []Place{top, step("/f", 0, 0, 0o644)}, user, Unchanged, ""},
		{"of another user", []Place{top, step("/f", 1001, 1000, 0o600)}, user, Unchanged, "chown -h 1000 /f"},
		{"writable for the user's own group", []Place{top, step("/f", 1000, 1000, 0o664)}, user, Unchanged, ""},
		{"writable for another group", []Place{top, step("/f", 1000, 100, 0o664)}, user, Unchanged, "chmod g-w /f"},
		{"in a directory of nobody", []Place{top, step("/d", 65534, 0, dir|0o755), step("/d/f", 0, 0, 0o644)}, root, Unchanged, "chown -h 0 /d"},
		{"in a world-writable directory", []Place{top, step("/d", 0, 0, dir|0o777), step("/d/f", 0, 0, 0o644)}, root, Unchanged, "chmod go-w /d"},
		{"in a sticky one", []Place{top, step("/tmp", 0, 0, sticky|0o777), step("/tmp/f", 0, 0, 0o644)}, root, Unchanged, ""},
		{"of nobody in a sticky one", []Place{top, step("/tmp", 0, 0, sticky|0o777), step("/tmp/f", 65534, 0, 0o644)}, root, Unchanged, "chown -h 0 /tmp/f"},
		{"in a sticky one of nobody", []Place{top, step("/tmp", 65534, 0, sticky|0o777), step("/tmp/f", 0, 0, 0o644)}, root, Unchanged, "chown -h 0 /tmp"},
		{"a sticky directory itself", []Place{top, step("/tmp", 0, 0, sticky|0o777)}, root, Unchanged, "chmod go-w /tmp"},
		{"a sticky directory for sockets", []Place{top, step("/tmp", 0, 0, sticky|0o777)}, root, Sticky, ""},
		{"a directory for sockets that is not sticky", []Place{top, step("/run", 0, 0, dir|0o777)}, root, Sticky, "chmod go-w /run"},
		{"through root's link", []Place{top, step("/l", 0, 0, link|0o777), step("/f", 0, 0, 0o644)}, root, Unchanged, ""},
		{"through nobody's link", []Place{top, step("/l", 65534, 0, link|0o777), step("/f", 0, 0, 0o644)}, root, Unchanged, "chown -h 0 /l"},
		{"a secret", []Place{top, step("/k", 0, 0, 0o640)}, root, Secret, ""},
		{"a secret for all", []Place{top, step("/k", 0, 0, 0o644)}, root, Secret, "chmod o-r /k"},
		{"a secret in a readable directory", []Place{top, step("/d", 0, 0, dir|0o755), step("/d/k", 0, 0, 0o600)}, root, Secret, ""},
		{"a name that a shell would take apart", []Place{top, step("/a b'c", 0, 0, 0o666)}, root, Unchanged, `chmod go-w '/a b'\''c'`},
	} {
		last := c.steps[len(c.steps)-1]
		wrong := Way{File: last.Path, Steps: c.steps, Whole: true}.Judge(c.user, c.guard)
		switch {
		case c.mend == "" && wrong != nil:
			t.Errorf("%s: %v", c.name, wrong)
		case c.mend != "" && (wrong == nil || wrong.Mend != c.mend):
			t.Errorf("%s: got %v, want %q", c.name, wrong, c.mend)
		}
	}
	// Of what is not there the way counts: who may make it?
	way := Way{File: "/tmp/f", Steps: []Place{top, step("/tmp", 0, 0, sticky|0o777)}}
	if wrong := way.Judge(root, Secret); wrong != nil {
		t.Error(wrong)
	}
}

func TestFindWay(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o755),
		os.WriteFile(filepath.Join(dir, "a/b/file"), nil, 0o644),
		os.Symlink("a/b", filepath.Join(dir, "relative")),
		os.Symlink(filepath.Join(dir, "relative"), filepath.Join(dir, "absolute")),
		os.Symlink("../../absolute/file", filepath.Join(dir, "a/b/up")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		os.Symlink("none", filepath.Join(dir, "dangling")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"a/b/file":      "a a/b a/b/file",
		"a//b/./file":   "a a/b a/b/file",
		"relative/file": "relative a a/b a/b/file",
		"absolute/file": "absolute DIR relative a a/b a/b/file",
		"a/b/up":        "a a/b a/b/up absolute DIR relative a a/b a/b/file",
		"a/none/file":   "a",
		"a/b/file/none": "a a/b a/b/file",
		"dangling":      "dangling",
		"a/../a/b/../b": "a a a/b a/b",
		"relative/../b": "relative a a/b a/b",
	} {
		way, err := FindWay(dir + "/" + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var got []string
		for _, p := range way.Steps {
			switch rest, below := strings.CutPrefix(p.Path, dir+"/"); {
			case below:
				got = append(got, rest)
			case p.Path == dir && len(got) > 0:
				got = append(got, "DIR") // an absolute link begins again at the root
			}
		}
		if joined := strings.Join(got, " "); joined != want {
			t.Errorf("%s: looked at %q, want %q", path, joined, want)
		}
		if _, err := os.Stat(dir + "/" + path); way.Whole != (err == nil) {
			t.Errorf("%s: whole is %t, and stat says %v", path, way.Whole, err)
		}
		if way.Steps[0].Path != "/" {
			t.Errorf("%s: begins at %s", path, way.Steps[0].Path)
		}
	}
	for _, path := range []string{"relative", "", dir + "/loop"} {
		if _, err := FindWay(path); err == nil {
			t.Errorf("%q: a way was found", path)
		}
	}
}

// The command that an error names mends the fault.
func TestTheCommandMendsIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a b", "file")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := CheckOwners(path, Unchanged); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func() error{
		func() error { return os.Chmod(path, 0o666) },
		func() error { return os.Chmod(filepath.Dir(path), 0o777) },
		func() error { return os.Chmod(path, 0o604) },
		func() error {
			if os.Geteuid() != 0 {
				return nil
			}
			return os.Chown(path, 65534, 65534)
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // one fault after the other
			if wrong, ok := CheckOwners(path, Secret).(*OwnerError); ok {
				if out, err := exec.Command("sh", "-c", wrong.Mend).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", wrong.Mend, err, out)
				}
			}
		}
		if err := CheckOwners(path, Secret); err != nil {
			t.Error(err)
		}
	}
}
