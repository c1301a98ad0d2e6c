package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A link is a cable between two network namespaces: the server's and the device's. The test's own namespace is not
// touched.
type link struct {
	t              testing.TB
	server, device string // namespaces
	serverIf       string
	deviceIf       string
	prefix         string // of the addresses, "10.213.7."
}

var links atomic.Int64

// newLink makes a link, or skips the test where that is not allowed.
func newLink(t testing.TB) *link {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, not root: network namespaces need CAP_NET_ADMIN. Run the tests as root, or in a container that has it")
	}
	for program, pkg := range map[string]string{"ip": "iproute2", "tc": "iproute2", "nft": "nftables"} {
		install(t, program, pkg)
	}
	n := links.Add(1)
	// An interface's name has 15 bytes at most; the process makes it unique.
	tag := fmt.Sprintf("%x%d", os.Getpid(), n)
	l := &link{t: t, server: "ota-s" + tag, device: "ota-d" + tag, serverIf: "os" + tag, deviceIf: "od" + tag,
		prefix: fmt.Sprintf("10.213.%d.", n%250)}
	if out, err := exec.Command("ip", "netns", "add", l.server).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, no network namespaces here: %s. Run the tests where CAP_SYS_ADMIN and CAP_NET_ADMIN are given", out)
	}
	t.Cleanup(func() { l.run("ip", "netns", "del", l.server) })
	l.run("ip", "netns", "add", l.device)
	t.Cleanup(func() { l.run("ip", "netns", "del", l.device) })
	l.run("ip", "link", "add", l.serverIf, "netns", l.server, "type", "veth", "peer", "name", l.deviceIf, "netns", l.device)
	for _, end := range []struct{ namespace, dev, address string }{
		{l.server, l.serverIf, l.serverAddress()}, {l.device, l.deviceIf, l.prefix + "2"},
	} {
		l.run("ip", "-n", end.namespace, "address", "add", end.address+"/24", "dev", end.dev)
		// Packets as small as on a real link: what is dropped is one packet, not 64 KiB of them.
		l.run("ip", "-n", end.namespace, "link", "set", end.dev, "up", "gso_max_segs", "1")
	}
	return l
}

func (l *link) serverAddress() string { return l.prefix + "1" }

func (l *link) run(args ...string) {
	l.t.Helper()
	args[0] = install(l.t, args[0], args[0])
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// rate bounds what the device gets, in bytes per second.
func (l *link) rate(bytesPerSecond int) {
	l.run("tc", "-n", l.server, "qdisc", "replace", "dev", l.serverIf, "root", "tbf",
		"rate", fmt.Sprintf("%dbps", bytesPerSecond), "burst", "3000", "limit", fmt.Sprint(max(6000, bytesPerSecond/10)))
}

// lose drops a part of the packets that come to the device, and of those that it sends.
func (l *link) lose(percent int) {
	rules := fmt.Sprintf(`table ip lossy {
	chain input { type filter hook input priority 0; numgen random mod 100 < %[1]d drop; }
	chain output { type filter hook output priority 0; numgen random mod 100 < %[1]d drop; }
}`, percent)
	cmd := exec.Command("ip", "netns", "exec", l.device, install(l.t, "nft", "nftables"), "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v: %s", err, out)
	}
}

// unplug and plug are the far end of the cable: the device keeps its address.
func (l *link) unplug() { l.run("ip", "-n", l.server, "link", "set", l.serverIf, "down") }
func (l *link) plug()   { l.run("ip", "-n", l.server, "link", "set", l.serverIf, "up") }

// renumber gives the device another address.
func (l *link) renumber() {
	l.run("ip", "-n", l.device, "address", "del", l.prefix+"2/24", "dev", l.deviceIf)
	l.run("ip", "-n", l.device, "address", "add", l.prefix+"3/24", "dev", l.deviceIf)
}

// A scene is a device that gets a repository's image over a link.
type scene struct {
	*link
	nginx  *nginx
	repo   *repository
	device *device
}

func newScene(t *testing.T, length int64) *scene {
	t.Helper()
	l := newLink(t)
	r := newRepository(t, length)
	server := startNginx(t, r.dir, l.server, net.JoinHostPort(l.serverAddress(), "80"))
	base := "http://" + l.serverAddress()
	d := newDevice(t, r, base+"/metadata", base+"/targets", "")
	d.namespace = l.device
	return &scene{link: l, nginx: server, repo: r, device: d}
}

// awaitPart waits until a part of the image is there.
func (s *scene) awaitPart(bytes int64) {
	s.t.Helper()
	s.device.await(fmt.Sprintf("%d bytes of the image", bytes), time.Minute, func() bool { return s.device.done() >= bytes })
}

// checkFetched bounds what the agent received, headers apart, as it says itself.
func (s *scene) checkFetched() {
	s.t.Helper()
	fetched := s.device.status().Counters.BytesFetched
	beyond := fetched - s.repo.length
	s.t.Logf("%d bytes of bodies fetched for an image of %d; %d requests for it", fetched, s.repo.length, s.nginx.requests(".image.bin"))
	// Metadata comes on top: a few KiB, with each refresh.
	if allowed := s.repo.length/50 + 32<<10; beyond > allowed {
		s.t.Errorf("%d bytes beyond the image, at most %d are in order", beyond, allowed)
	}
}

// A third of all packets is lost, both ways: TCP itself comes to a standstill again and again.
func TestThirtyPercentLoss(t *testing.T) {
	t.Parallel()
	s := newScene(t, 128<<10)
	s.lose(30)
	s.device.start()
	s.device.awaitImage(s.repo, 4*time.Minute)
	s.checkFetched()
}

// A link of 2 kB/s is above the default minimum rate: it is slow, and it gets there.
func TestTwoKilobytesPerSecond(t *testing.T) {
	t.Parallel()
	s := newScene(t, 64<<10)
	s.rate(2000)
	began := time.Now()
	s.device.start()
	s.device.awaitImage(s.repo, 3*time.Minute)
	t.Logf("%v", time.Since(began).Round(time.Second))
	if n := s.nginx.requests(".image.bin"); n != 1 {
		t.Errorf("%d requests for the image, expected 1", n)
	}
	s.checkFetched()
}

// A tunnel: the link is down for 20 s, and the same request goes on afterwards.
func TestLinkDownForTwentySeconds(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2<<20)
	s.rate(100_000)
	s.device.start()
	s.awaitPart(500_000)
	s.unplug()
	time.Sleep(20 * time.Second)
	s.plug()
	s.rate(100_000)
	s.device.awaitImage(s.repo, 3*time.Minute)
	s.checkFetched()
}

// rauc#1912: a new address orphans the old connection; nobody will ever send a reset on it.
func TestAddressChange(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4<<20)
	s.rate(200_000)
	s.device.start()
	s.awaitPart(1_000_000)
	s.renumber()
	changed := time.Now()
	s.device.await("a new connection", time.Minute, s.resumed)
	t.Logf("resumed %v after the change", time.Since(changed).Round(100*time.Millisecond))
	s.device.awaitImage(s.repo, 2*time.Minute)
	s.checkFetched()
}

// resumed says whether the download that runs began in the middle.
func (s *scene) resumed() bool {
	p := s.device.component().Progress
	return p != nil && p.ResumedFrom > 0 || s.device.got() != ""
}
