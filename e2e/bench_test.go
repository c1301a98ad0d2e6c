package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Budgets of a download, verified and staged (docs/benchmarks.md).
const (
	peerRatioMin = 0.9
	peakRSSMax   = 24 << 20
	// linearMax bounds what a byte of the longest image may cost in the agent's own CPU time, beside one of the middle one.
	linearMax = 1.25
)

// BenchmarkFetch runs everything by itself, so run it with -benchtime 1x. It prints a table and fails where a budget is
// missed. OTA_BENCH_DIR names the directory of the disk.
func BenchmarkFetch(b *testing.B) {
	install(b, "curl", "curl")
	disk := benchDisk()
	t := &benchTable{b: b, tuf: buildPeer(b)}
	t.head()
	// The agent makes the image durable before it says that it is there; curl does not. In memory only the work itself
	// counts; on the disk, with curl's file synced too, like is compared with like.
	for _, place := range []struct {
		name, dir string
		sync      bool
	}{{"memory", "/dev/shm", false}, {"disk", disk, false}, {"disk, all synced", disk, true}} {
		if _, err := os.Stat(place.dir); err != nil {
			b.Logf("SKIPPED %s, %v: mount a tmpfs there", place.name, err)
			continue
		}
		t.comparePeers(place.name, place.dir, 512<<20, place.sync)
	}
}

// BenchmarkFetchLength downloads images from 64 MiB to 4 GiB, to memory where there is room: what the kernel's part costs
// on a disk depends on what else the disk does.
func BenchmarkFetchLength(b *testing.B) {
	const memory, room = "/dev/shm", 6 << 30
	place, dir := "disk", benchDisk()
	var s syscall.Statfs_t
	if err := syscall.Statfs(memory, &s); err == nil && int64(s.Bavail)*s.Bsize >= room {
		place, dir = "memory", memory
	}
	_ = b.TempDir() // the repositories lie where it was before
	t := &benchTable{b: b}
	t.head()
	t.checkLinear(place, dir)
}

func benchDisk() string {
	if dir := os.Getenv("OTA_BENCH_DIR"); dir != "" {
		return dir
	}
	return os.TempDir()
}

// rounds is how often each of the peers downloads, in turns: what else the machine does slows all of them down.
const rounds = 3

// A benchTable prints as it goes.
type benchTable struct {
	b   testing.TB
	tuf string // the peer's program
}

func (t *benchTable) head() {
	fmt.Printf("%d CPUs; download, verify and stage over loopback from nginx; medians of %d\n\n", runtime.NumCPU(), rounds)
	fmt.Println("| who | where | image | MB/s | CPU s/GiB | of it system | peak RSS |")
	fmt.Println("| --- | --- | --: | --: | --: | --: | --: |")
}

func (t *benchTable) row(who, place string, length int64, c cost) {
	rss := "-"
	if c.peakRSS > 0 {
		rss = fmt.Sprintf("%.1f MiB", float64(c.peakRSS)/(1<<20))
	}
	fmt.Printf("| %s | %s | %d MiB | %.0f | %.2f | %.2f | %s |\n", who, place, length>>20,
		float64(length)/c.wall.Seconds()/1e6, perGiB(c.cpu, length), perGiB(c.system, length), rss)
}

func perGiB(d time.Duration, length int64) float64 { return d.Seconds() * (1 << 30) / float64(length) }

// A cost is what one download took.
type cost struct {
	wall, cpu, system time.Duration // system is a part of cpu
	peakRSS           int64         // bytes; 0: not measured
}

// comparePeers lets the agent, curl and go-tuf download the same image in turns.
func (t *benchTable) comparePeers(place, dir string, length int64, sync bool) {
	t.b.Setenv("TMPDIR", dir)
	r := newRepository(t.b, length)
	defer os.RemoveAll(r.dir)
	server := startNginx(t.b, r.dir, "", "")
	defer server.kill()
	var ours, curls, hashes []cost
	for range rounds {
		ours = append(ours, fetchWithAgent(t.b, r, server.address))
		curl, hash := fetchWithCurl(t.b, r, server.address, dir, sync)
		curls, hashes = append(curls, curl), append(hashes, hash)
	}
	our, curl := median(ours), median(curls)
	t.row("ota-agent", place, length, our)
	t.row("curl, sha256sum", place, length, curl)
	t.row("its sha256sum", place, length, median(hashes))
	t.row("go-tuf v2.4.2", place, length, fetchWithGoTUF(t.b, t.tuf, r, server.address, dir))
	ratio := curl.wall.Seconds() / our.wall.Seconds()
	fmt.Printf("%s: %.2f times as fast as curl and sha256sum, at least %.2f is asked for\n", place, ratio, peerRatioMin)
	t.checkRSS(place, our)
	if ratio < peerRatioMin {
		t.b.Errorf("%s: %.2f times curl's speed, the budget is %.2f", place, ratio, peerRatioMin)
	}
}

func (t *benchTable) checkRSS(what string, c cost) {
	if c.peakRSS > peakRSSMax {
		t.b.Errorf("%s: peak RSS %d bytes, the budget is %d", what, c.peakRSS, peakRSSMax)
	}
}

// checkLinear compares the agent's own CPU time for each length: other work on the machine changes the time that passes
// more than the length does.
func (t *benchTable) checkLinear(place, dir string) {
	t.b.Setenv("TMPDIR", dir)
	var each []float64
	for _, length := range []int64{64 << 20, 512 << 20, 4 << 30} {
		r := newRepository(t.b, length)
		server := startNginx(t.b, r.dir, "", "")
		c := fetchWithAgent(t.b, r, server.address)
		server.kill()
		must(t.b, os.RemoveAll(r.dir))
		t.row("ota-agent", place, length, c)
		t.checkRSS(fmt.Sprintf("%d MiB", length>>20), c)
		each = append(each, perGiB(c.cpu-c.system, length))
	}
	ratio := each[2] / each[1]
	fmt.Printf("a byte of 4 GiB costs %.2f times the agent's own CPU time of one of 512 MiB, at most %.2f is in order\n", ratio, linearMax)
	if ratio > linearMax {
		t.b.Errorf("%.2f CPU seconds per GiB at 4 GiB, %.2f at 512 MiB: not linear", each[2], each[1])
	}
}

// fetchWithAgent measures from the record that orders the download to the record that says it is staged, as the
// agent's own log has it; CPU time is the process's whole life.
func fetchWithAgent(b testing.TB, r *repository, address string) cost {
	b.Helper()
	d := newDevice(b, r, "http://"+address+"/metadata", "http://"+address+"/targets", "")
	hook := strings.Replace(hookText, "\tsum=$(sha256sum)\n", "\texit 75\n", 1) // nothing shall come after staging
	must(b, os.WriteFile(d.path("hook"), []byte(hook), 0o755))
	d.start()
	staged := filepath.Join(d.path("state"), "images", r.sha256)
	d.await("the staged image", 15*time.Minute, func() bool {
		_, err := os.Stat(staged)
		return err == nil
	})
	after := d.usage()
	from, to := d.logTime("to=fetching"), d.logTime("to=staged")
	d.kill()
	must(b, os.RemoveAll(d.dir))
	return cost{wall: to.Sub(from), cpu: after.cpu, system: after.system, peakRSS: after.peakRSS}
}

// logTime waits for a line of the agent's log and returns its time, exact to the millisecond.
func (d *device) logTime(has string) (at time.Time) {
	d.t.Helper()
	d.await("the log line "+has, time.Minute, func() bool {
		log, _ := os.ReadFile(d.path("log"))
		for line := range strings.Lines(string(log)) {
			if stamp, rest, ok := strings.Cut(strings.TrimPrefix(line, "time="), " "); ok && strings.Contains(rest, has) {
				var err error
				at, err = time.Parse(time.RFC3339Nano, stamp)
				must(d.t, err)
				return true
			}
		}
		return false
	})
	return at
}

// fetchWithCurl also tells what the hash alone took.
func fetchWithCurl(b testing.TB, r *repository, address, dir string, sync bool) (all, hash cost) {
	b.Helper()
	file := filepath.Join(dir, fmt.Sprintf("ota-curl-%d", os.Getpid()))
	defer os.Remove(file)
	steps := [][]string{{"curl", "-sS", "-o", file, "http://" + address + "/" + r.target}, {"sha256sum", file}}
	if sync {
		steps = slices.Insert(steps, 1, []string{"sync", "-d", file})
	}
	for _, args := range steps {
		out, c := runPeer(b, args...)
		if args[0] == "sha256sum" {
			if !strings.HasPrefix(out, r.sha256) {
				b.Fatalf("curl got %s", out)
			}
			hash = cost{wall: c.wall, cpu: c.cpu, system: c.system}
		}
		all.wall += c.wall
		all.cpu += c.cpu
		all.system += c.system
	}
	return all, hash
}

// fetchWithGoTUF measures the whole process: starting it takes milliseconds.
func fetchWithGoTUF(b testing.TB, program string, r *repository, address, dir string) cost {
	b.Helper()
	own, err := os.MkdirTemp(dir, "ota-gotuf-")
	must(b, err)
	defer os.RemoveAll(own)
	anchor := filepath.Join(own, "root.json")
	must(b, os.WriteFile(anchor, r.anchor, 0o644))
	_, c := runPeer(b, program, "http://"+address, anchor, targetPath, own)
	return c
}

// buildPeer builds go-tuf's client, which lives in a module of its own.
func buildPeer(b testing.TB) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "gotufget")
	if out, err := exec.Command("go", "-C", "../interop", "build", "-o", path, "./gotufget").CombinedOutput(); err != nil {
		b.Fatalf("build gotufget: %v: %s", err, out)
	}
	return path
}

// runPeer runs a command to its end.
func runPeer(b testing.TB, args ...string) (output string, c cost) {
	b.Helper()
	began := time.Now()
	cmd := exec.Command(args[0], args[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %v: %s", args, err, out)
	}
	c.wall = time.Since(began)
	c.system = cmd.ProcessState.SystemTime()
	c.cpu = cmd.ProcessState.UserTime() + c.system
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peakRSS = u.Maxrss << 10
	}
	return string(out), c
}

// median takes each figure's own.
func median(all []cost) cost {
	middle := func(of func(cost) int64) int64 {
		var figures []int64
		for _, c := range all {
			figures = append(figures, of(c))
		}
		slices.Sort(figures)
		return figures[len(figures)/2]
	}
	return cost{
		wall:    time.Duration(middle(func(c cost) int64 { return int64(c.wall) })),
		cpu:     time.Duration(middle(func(c cost) int64 { return int64(c.cpu) })),
		system:  time.Duration(middle(func(c cost) int64 { return int64(c.system) })),
		peakRSS: middle(func(c cost) int64 { return c.peakRSS }),
	}
}
