package install_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/install/hooktest"
)

// shippedHook is the path of a hook of packaging/hooks.
func shippedHook(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "packaging", "hooks", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestShippedHooksKeepTheContract(t *testing.T) {
	t.Parallel()
	for name, newDevice := range shipped {
		t.Run(name, func(t *testing.T) { hooktest.Contract(t, newDevice) })
	}
}

func TestShippedHooksSurviveCuts(t *testing.T) {
	t.Parallel()
	for name, newDevice := range shipped {
		t.Run(name, func(t *testing.T) { hooktest.Cuts(t, newDevice) })
	}
}

var shipped = map[string]func(*testing.T) hooktest.Device{
	"ab-file":     newABDevice,
	"app-symlink": newAppDevice,
}

// newABDevice is two slot files and a boot environment; Boot is the bootloader.
func newABDevice(t *testing.T) hooktest.Device {
	dir := deviceDir(t)
	image := func(version string) []byte { return bytes.Repeat([]byte("image "+version+"\n"), 20_000) }
	d := hooktest.Device{
		Hook: shippedHook(t, "ab-file"), Env: map[string]string{"AB_DIR": dir}, Dir: dir,
		Image: image, Boots: 1,
		Boot: func(t *testing.T) { bootAB(t, dir) },
	}
	write(t, filepath.Join(dir, "bootenv"), "primary=A\ntry=A\ngood.A=1\ngood.B=0\n")
	bootAB(t, dir)
	// A partition is longer than what is in it.
	write(t, filepath.Join(dir, "slot.A"), string(image("1.0"))+strings.Repeat("x", 1000))
	write(t, filepath.Join(dir, "slot.B"), strings.Repeat("y", len(image("1.0"))+5000))
	write(t, filepath.Join(dir, "slot.A.info"),
		fmt.Sprintf("sha256=%s\nlength=%d\nversion=1.0\n", hexSum(image("1.0")), len(image("1.0"))))
	return d
}

// bootAB does what the header of ab-file demands of a bootloader.
func bootAB(t *testing.T, dir string) {
	t.Helper()
	env := read(t, filepath.Join(dir, "bootenv"))
	var primary, try, good string
	if n, err := fmt.Sscanf(env, "primary=%s\n", &primary); n != 1 || err != nil {
		t.Fatalf("nothing can boot: %v: %q", err, env)
	}
	_, rest, _ := strings.Cut(env, "\ntry=")
	try, good, _ = strings.Cut(rest, "\n")
	booted := primary
	if try != "" {
		booted = try
		write(t, filepath.Join(dir, "bootenv"), "primary="+primary+"\ntry=\n"+good)
	}
	if booted != "A" && booted != "B" {
		t.Fatalf("nothing can boot: %q", env)
	}
	write(t, filepath.Join(dir, "booted"), booted+"\n")
}

// newAppDevice is an application in slot B; Boot is a start of its service.
func newAppDevice(t *testing.T) hooktest.Device {
	dir := deviceDir(t)
	d := hooktest.Device{
		Hook: shippedHook(t, "app-symlink"), Env: map[string]string{"APP_DIR": dir, "APP_STARTS": "2"}, Dir: dir,
		Image: appImage, Boots: 2,
	}
	d.Boot = func(t *testing.T) {
		t.Helper()
		if out, err := appHook(d, "launch", "./bin/app").CombinedOutput(); err != nil {
			t.Fatalf("nothing can start: %v: %s", err, out)
		}
	}
	provisionApp(t, d)
	return d
}

// appImage is an application's release: a program, a link to it and some data.
func appImage(version string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	add := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		w.Write([]byte(content))
	}
	add(tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}, "")
	add(tar.Header{Name: "bin/app", Mode: 0o755}, "#!/bin/sh\necho "+version+"\n")
	add(tar.Header{Name: "bin/alias", Typeflag: tar.TypeSymlink, Linkname: "../bin/app", Mode: 0o777}, "")
	add(tar.Header{Name: "share/", Typeflag: tar.TypeDir, Mode: 0o755}, "")
	add(tar.Header{Name: "share/data", Mode: 0o644}, strings.Repeat("data "+version+"\n", 1000))
	w.Close()
	z.Close()
	return b.Bytes()
}

// appHook is a call of the hook as a device maker or a service makes it, without the runner.
func appHook(d hooktest.Device, args ...string) *exec.Cmd {
	cmd := exec.Command(d.Hook, args...)
	cmd.Env = append(os.Environ(), "OTA_VERSION=1.0")
	for name, value := range d.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func provisionApp(t *testing.T, d hooktest.Device) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	write(t, image, string(d.Image("1.0")))
	for _, verb := range []string{"install", "try", "confirm"} {
		cmd := appHook(d, verb, "B")
		cmd.Env = append(cmd.Env, "OTA_INPUT="+image, "OTA_SHA256="+hexSum(d.Image("1.0")))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", verb, err, out)
		}
	}
}

// deviceDir is a directory on a tmpfs where there is one: these tests sync a lot.
func deviceDir(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("/dev/shm", "hooks-test-")
	var fs unix.Statfs_t
	if err != nil || unix.Statfs(base, &fs) != nil || fs.Flags&unix.ST_NOEXEC != 0 {
		base = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	dir := filepath.Join(base, "device")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hexSum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeExecutable(t *testing.T, path, body string) {
	t.Helper()
	// A child that another test forks meanwhile must not inherit the open file: executing it would fail.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
}
