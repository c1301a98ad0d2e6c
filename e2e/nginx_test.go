package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// install gets a Debian package once where that is possible, and skips the test where it is not.
func install(t testing.TB, program, debianPackage string) string {
	t.Helper()
	path, err := findOrInstall(program, debianPackage)
	if err != nil {
		t.Skipf("SKIPPED, %s is missing: %v. Get it with: apt-get install --no-install-recommends %s", program, err, debianPackage)
	}
	return path
}

var installing sync.Mutex

func findOrInstall(program, debianPackage string) (string, error) {
	installing.Lock()
	defer installing.Unlock()
	if path, err := lookPath(program); err == nil {
		return path, nil
	}
	if os.Getuid() != 0 {
		return "", fmt.Errorf("only root can install it")
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		return "", fmt.Errorf("this is not Debian")
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-qq", "-y", "--no-install-recommends", debianPackage}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return lookPath(program)
}

// lookPath also looks where only root's PATH leads.
func lookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, serr := os.Stat(filepath.Join(dir, program)); serr == nil {
			return filepath.Join(dir, program), nil
		}
	}
	return "", err
}

// An nginx serves a directory.
type nginx struct {
	t         testing.TB
	program   string
	namespace string
	dir       string
	// address is what it listens on.
	address string
	cmd     *exec.Cmd
}

// startNginx serves root on an address that is free, or on the given one within a namespace.
func startNginx(t testing.TB, root, namespace, address string) *nginx {
	t.Helper()
	n := &nginx{t: t, program: install(t, "nginx", "nginx-light"), namespace: namespace, dir: t.TempDir(), address: address}
	if address == "" {
		n.address = freeAddress(t)
	}
	// master_process off would keep one process; the master is kept, as it runs in the field.
	config := fmt.Sprintf(`daemon off;
user root;
worker_processes 1;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 64; }
http {
	log_format e2e '"$request" $status $body_bytes_sent "$http_range"';
	access_log %[1]s/access.log e2e;
	sendfile on;
	default_type application/octet-stream;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server { listen %[2]s; root %[3]s; }
}
`, n.dir, n.address, root)
	if os.Getuid() != 0 {
		config = strings.Replace(config, "user root;\n", "", 1)
	}
	must(t, os.WriteFile(filepath.Join(n.dir, "nginx.conf"), []byte(config), 0o644))
	n.start()
	t.Cleanup(n.kill)
	return n
}

func (n *nginx) start() {
	n.t.Helper()
	args := []string{n.program, "-c", filepath.Join(n.dir, "nginx.conf"), "-e", filepath.Join(n.dir, "error.log")}
	if n.namespace != "" {
		args = append([]string{"ip", "netns", "exec", n.namespace}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	must(n.t, cmd.Start())
	n.cmd = cmd
	// It writes its pid once it listens.
	deadline := time.Now().Add(10 * time.Second)
	for {
		if b, err := os.ReadFile(filepath.Join(n.dir, "pid")); err == nil && len(b) > 0 {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(n.dir, "error.log"))
			n.t.Fatalf("nginx does not start: %s", log)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// kill ends master and workers without a warning.
func (n *nginx) kill() {
	if n.cmd == nil {
		return
	}
	_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
	_ = n.cmd.Wait()
	n.cmd = nil
	_ = os.Remove(filepath.Join(n.dir, "pid"))
}

// requests counts the requests in the access log that contain a text.
func (n *nginx) requests(text string) int {
	n.t.Helper()
	b, err := os.ReadFile(filepath.Join(n.dir, "access.log"))
	must(n.t, err)
	count := 0
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, text) {
			count++
		}
	}
	return count
}

// freeAddress is a loopback address that nobody listens on just now.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}
