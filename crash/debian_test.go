//go:build linux && amd64

package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program finds a program also where only root's PATH leads; empty where there is none.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// needs installs a Debian package that has a program, or skips the test.
func needs(t *testing.T, name, debianPackage string) {
	t.Helper()
	if program(name) != "" {
		return
	}
	const get = "SKIPPED, %s is missing: %v. Get it with: apt-get install --no-install-recommends %s"
	if err := debianRoot(); err != nil {
		t.Skipf(get, name, err, debianPackage)
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-qq", "-y", "--no-install-recommends", debianPackage}} {
		if err := aptGet("", args...); err != nil {
			t.Skipf(get, name, err, debianPackage)
		}
	}
	if program(name) == "" {
		t.Skipf(get, name, errors.New("the package does not have it"), debianPackage)
	}
}

// unpack downloads a Debian package and unpacks it into dir, without installing it. Where it can't be had the test is
// skipped.
func unpack(t *testing.T, dir, debianPackage string) error {
	t.Helper()
	if err := debianRoot(); err != nil {
		t.Skipf("SKIPPED, Debian's package %s can't be had: %v", debianPackage, err)
	}
	where, err := os.MkdirTemp("", "ota-deb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(where)
	err = aptGet(where, "download", "-qq", debianPackage)
	if err != nil { // its lists may be old, or missing
		err = errors.Join(aptGet("", "update", "-qq"), aptGet(where, "download", "-qq", debianPackage))
	}
	if err != nil {
		t.Skipf("SKIPPED, Debian's package %s can't be had: %v", debianPackage, err)
	}
	files, err := filepath.Glob(filepath.Join(where, "*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("downloaded %v, expected one package (%w)", files, err)
	}
	if out, err := exec.Command("dpkg-deb", "-x", files[0], dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", debianPackage, err, out)
	}
	return nil
}

// kernelPackage is the package that holds Debian's current kernel for virtual machines.
func kernelPackage(t *testing.T) string {
	t.Helper()
	const current = "linux-image-cloud-amd64"
	find := func() string {
		out, _ := exec.Command("apt-cache", "depends", "--no-recommends", current).Output()
		for line := range strings.Lines(string(out)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
				return name
			}
		}
		return ""
	}
	name := find()
	if name == "" && debianRoot() == nil {
		_ = aptGet("", "update", "-qq")
		name = find()
	}
	if name == "" {
		t.Skipf("SKIPPED, no kernel for a virtual machine: apt-cache knows no %s", current)
	}
	return name
}

func debianRoot() error {
	if os.Getuid() != 0 {
		return errors.New("only root can install packages and mount disks")
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		return errors.New("this is not Debian")
	}
	return nil
}

func aptGet(dir string, args ...string) error {
	cmd := exec.Command("apt-get", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
