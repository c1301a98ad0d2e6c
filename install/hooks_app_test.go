package install_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/install/hooktest"
)

// runApp runs the application hook and returns its exit code and output.
func runApp(t *testing.T, d hooktest.Device, env []string, args ...string) (code int, out string) {
	t.Helper()
	cmd := appHook(d, args...)
	cmd.Env = append(cmd.Env, env...)
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// imageEnv stages an image for the hook.
func imageEnv(t *testing.T, image []byte) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	write(t, path, string(image))
	return []string{"OTA_INPUT=" + path, "OTA_SHA256=" + hexSum(image), "OTA_VERSION=2"}
}

// archive makes a plain tar archive.
func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 1
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte("x"))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A release can't write outside its slot, or bring what would let it out. Each of these is the release's fault.
func TestAppRefusesHostileArchives(t *testing.T) {
	t.Parallel()
	testHostileArchives(t, newAppDevice)
}

func testHostileArchives(t *testing.T, newDevice func(*testing.T) hooktest.Device) {
	outside := filepath.Join(t.TempDir(), "outside")
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	good := archive(t, file("a"))
	d := newDevice(t)
	for name, image := range map[string][]byte{
		"absolute name":           archive(t, file(outside)),
		"parent":                  archive(t, file("../outside")),
		"hidden parent":           archive(t, file("a/b/../../../outside")),
		"parent at the end":       archive(t, tar.Header{Name: "a/..", Typeflag: tar.TypeDir}),
		"absolute link":           archive(t, link("a", "/etc/passwd")),
		"link to the parent":      archive(t, link("a", "..")),
		"link out":                archive(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir}, link("d/a", "../../slot.A")),
		"link out through a name": archive(t, link("d", "."), link("a", "d/../x")),
		"write through a link":    archive(t, link("d", filepath.Dir(outside)), file("d/outside")),
		"hard link":               archive(t, file("a"), tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"}),
		"set-user-ID":             archive(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o4755}),
		"set-group-ID":            archive(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o2755}),
		"device":                  archive(t, tar.Header{Name: "a", Typeflag: tar.TypeBlock, Devmajor: 7}),
		"pipe":                    archive(t, tar.Header{Name: "a", Typeflag: tar.TypeFifo}),
		"no archive":              []byte("hello"),
		"damaged archive":         append([]byte("z"), good[1:]...),
		"damaged gzip":            appImage("2")[:200],
	} {
		t.Run(name, func(t *testing.T) {
			code, out := runApp(t, d, imageEnv(t, image), "install", "A")
			if code != 65 {
				t.Errorf("exited with %d, expected 65: %s", code, out)
			}
			if _, err := os.Lstat(outside); err == nil {
				t.Error("something was written outside")
			}
			if code, _ := runApp(t, d, nil, "try", "A"); code == 0 {
				t.Error("it can be tried")
			}
			names, err := filepath.Glob(filepath.Join(d.Dir, "slot.A*"))
			if err != nil || len(names) > 0 {
				t.Errorf("left behind: %v, %v", names, err)
			}
		})
	}
	inside := archive(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, file("./a..b"), file("..c"), file("d e/f\ng"),
		link("l", "d e/f\ng"), link("d e/l", "../l"), link("dangling", "nothing"), link("dots", "..c"))
	if code, out := runApp(t, d, imageEnv(t, inside), "install", "A"); code != 0 {
		t.Errorf("an honest archive is refused (%d): %s", code, out)
	}
	if code, out := runApp(t, d, imageEnv(t, inside), "verify", "A"); code != 0 || !strings.Contains(out, hexSum(inside)) {
		t.Errorf("verify: %d: %s", code, out)
	}
}

func TestAppVerifyNoticesChangedFiles(t *testing.T) {
	t.Parallel()
	d := newAppDevice(t)
	env := imageEnv(t, appImage("2"))
	slot := filepath.Join(d.Dir, "slot.A")
	for name, change := range map[string]func() error{
		"content":  func() error { return os.WriteFile(slot+"/share/data", []byte("x"), 0o644) },
		"new file": func() error { return os.WriteFile(slot+"/new", nil, 0o644) },
		"missing":  func() error { return os.Remove(slot + "/share/data") },
		"mode":     func() error { return os.Chmod(slot+"/bin/app", 0o644) },
		"link":     func() error { os.Remove(slot + "/bin/alias"); return os.Symlink("app", slot+"/bin/alias") },
		"all":      func() error { return os.RemoveAll(slot) },
	} {
		if code, out := runApp(t, d, env, "install", "A"); code != 0 {
			t.Fatal(out)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if code, out := runApp(t, d, env, "verify", "A"); code != 0 || strings.Contains(out, hexSum(appImage("2"))) {
			t.Errorf("%s: verify exits with %d and says %s", name, code, out)
		}
	}
}

// The restart command judges too: a release that can't be started is refused if the one before it can.
func TestAppRestart(t *testing.T) {
	t.Parallel()
	d := newAppDevice(t)
	env := imageEnv(t, appImage("2"))
	if code, out := runApp(t, d, env, "install", "A"); code != 0 {
		t.Fatal(out)
	}
	log := filepath.Join(t.TempDir(), "log")
	d.Env["APP_RESTART"] = `"$APP_DIR/current/bin/app" >>` + log + ` && [ "$(tail -n 1 ` + log + `)" != 2 ]`
	if code, out := runApp(t, d, env, "try", "A"); code != 65 {
		t.Errorf("a release that does not start: exited with %d: %s", code, out)
	}
	if got := read(t, log); got != "2\n1.0\n" {
		t.Errorf("started %q, expected the new one and then the old one", got)
	}
	if link, err := os.Readlink(filepath.Join(d.Dir, "current")); link != "slot.B" {
		t.Errorf("current is %q, %v", link, err)
	}
	d.Env["APP_RESTART"] = "false"
	if code, _ := runApp(t, d, env, "try", "A"); code != 1 {
		t.Errorf("nothing starts: exited with %d, expected 1: it is not the release's fault", code)
	}
	d.Env["APP_RESTART"] = "true"
	if code, out := runApp(t, d, env, "try", "A"); code != 0 {
		t.Errorf("exited with %d: %s", code, out)
	}
}

// launch runs what current points to, in its directory, with its arguments as they are.
func TestAppLaunch(t *testing.T) {
	t.Parallel()
	d := newAppDevice(t)
	code, out := runApp(t, d, nil, "launch", "sh", "-c", `pwd; printf '[%s]' "$@"`, "sh", "a b", "$HOME", "")
	if want := d.Dir + "/slot.B\n[a b][$HOME][]"; code != 0 || out != want {
		t.Errorf("got %d, %q; want %q", code, out, want)
	}
	if code, _ := runApp(t, d, nil, "launch"); code != 1 {
		t.Errorf("without a program: %d", code)
	}
	// A reject that was cut off between the state and the link: launch completes it.
	state := filepath.Join(d.Dir, "state")
	if code, out := runApp(t, d, imageEnv(t, appImage("2")), "install", "A"); code != 0 {
		t.Fatal(out)
	}
	write(t, state, strings.Replace(read(t, state), "confirmed=B", "confirmed=A", 1))
	if code, out := runApp(t, d, nil, "launch", "./bin/app"); code != 0 || out != "2\n" {
		t.Errorf("got %d, %q; want the release that the state calls confirmed", code, out)
	}
}

// A first release on a device that has none, and its rejection.
func TestAppOnAFreshDevice(t *testing.T) {
	t.Parallel()
	dir := deviceDir(t)
	d := hooktest.Device{Hook: shippedHook(t, "app-symlink"), Env: map[string]string{"APP_DIR": dir}, Dir: dir}
	env := imageEnv(t, appImage("1"))
	for _, verb := range [][]string{{"status"}, {"install", "B"}, {"try", "B"}, {"reject", "B"}, {"status"}} {
		if code, out := runApp(t, d, env, verb...); code != 0 {
			t.Fatalf("%v: %d: %s", verb, code, out)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "current")); err == nil {
		t.Error("something runs")
	}
}

// Whatever is in the files, the hooks say which one is wrong, and do nothing.
func TestHooksRefuseMalformedState(t *testing.T) {
	t.Parallel()
	app := newAppDevice(t)
	for _, state := range []string{"", "confirmed=C\n", "confirmed=A\nconfirmed=B\ntrial=\nstarts=0\ngood.A=1\ngood.B=1\n",
		"confirmed=A\ntrial=\nstarts=$(id)\ngood.A=1\ngood.B=1\n", "confirmed=A\ntrial=\nstarts=0\ngood.A=yes\ngood.B=1\n"} {
		write(t, filepath.Join(app.Dir, "state"), state)
		if code, out := runApp(t, app, nil, "status"); code != 1 || !strings.Contains(out, app.Dir+"/state") {
			t.Errorf("state %q: %d: %s", state, code, out)
		}
	}
	ab := newABDevice(t)
	for file, contents := range map[string][]string{
		"bootenv": {"", "primary=C\ntry=\ngood.A=1\ngood.B=0\n", "primary=A\ntry=x\ngood.A=1\ngood.B=0\n",
			"primary=A\ntry=\ngood.A=\ngood.B=0\n", "primary=A\nprimary=B\ntry=\ngood.A=1\ngood.B=0\n"},
		"booted": {"", "C\n", "A\nB\n"},
	} {
		path := filepath.Join(ab.Dir, file)
		before := read(t, path)
		for _, content := range contents {
			write(t, path, content)
			if code, out := runApp(t, ab, nil, "status"); code != 1 || !strings.Contains(out, path) {
				t.Errorf("%s %q: %d: %s", file, content, code, out)
			}
		}
		write(t, path, before)
	}
	for _, hook := range []string{"ab-file", "app-symlink"} {
		for _, dir := range []string{"", "relative", "/no/such/dir"} {
			d := hooktest.Device{Hook: shippedHook(t, hook), Env: map[string]string{"AB_DIR": dir, "APP_DIR": dir}}
			if code, out := runApp(t, d, nil, "status"); code != 1 || !strings.Contains(out, "_DIR") {
				t.Errorf("%s with directory %q: %d: %s", hook, dir, code, out)
			}
		}
	}
}

func TestHooksPassShellcheck(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is missing: apt-get install shellcheck")
	}
	for name := range shipped {
		if out, err := exec.Command(path, "-s", "sh", shippedHook(t, name)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
