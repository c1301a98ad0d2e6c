package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Budgets of a download, verified and staged (ARCHITECTURE.md).
const (
	peerRatioMin = 0.9
	peakRSSMax   = 24 << 20
)

// BenchmarkFetch compares the agent with "curl -o file && sha256sum file", in turns on the same nginx and file
// system. Each turn of it downloads everything rounds times, so run it with -benchtime 1x.
//
// The agent makes the image durable before it says that it is there; curl does not. So there are three places: in
// memory, where only the work itself counts; on the disk, as it is; and on the disk with curl's file synced too,
// which compares like with like. OTA_BENCH_DIR names the disk; OTA_BENCH_MIB the sizes, "64 256 512 1024" by default.
func BenchmarkFetch(b *testing.B) {
	disk := os.Getenv("OTA_BENCH_DIR")
	if disk == "" {
		disk = os.TempDir()
	}
	for _, place := range []struct {
		name, dir string
		sync      bool
	}{{"memory", "/dev/shm", false}, {"disk", disk, false}, {"disk-synced", disk, true}} {
		for _, mib := range strings.Fields(orElse(os.Getenv("OTA_BENCH_MIB"), "64 256 512 1024")) {
			b.Run(place.name+"/"+mib+"MiB", func(b *testing.B) {
				var n int64
				_, err := fmt.Sscan(mib, &n)
				must(b, err)
				if _, err := os.Stat(place.dir); err != nil {
					b.Skipf("SKIPPED, %v: mount a tmpfs there", err)
				}
				for b.Loop() {
					comparePeers(b, place.dir, n<<20, place.sync)
				}
			})
		}
	}
}

// A cost is what one download took.
type cost struct {
	wall, cpu time.Duration
	peakRSS   int64
}

const rounds = 5

func comparePeers(b *testing.B, dir string, length int64, sync bool) {
	install(b, "curl", "curl")
	b.Setenv("TMPDIR", dir)
	r := newRepository(b, length)
	server := startNginx(b, r.dir, "", "")
	var ours, peers []cost
	for range rounds {
		ours = append(ours, fetchWithAgent(b, r, server.address))
		peers = append(peers, fetchWithCurl(b, r, server.address, dir, sync))
	}
	our, peer := median(ours), median(peers)
	gib := float64(length) / (1 << 30)
	ratio := peer.wall.Seconds() / our.wall.Seconds()
	b.ReportMetric(float64(length)/our.wall.Seconds()/1e6, "MB/s")
	b.ReportMetric(float64(length)/peer.wall.Seconds()/1e6, "curl-MB/s")
	b.ReportMetric(ratio, "x-curl")
	b.ReportMetric(float64(our.peakRSS)/(1<<20), "MiB-RSS")
	b.ReportMetric(our.cpu.Seconds()/gib, "cpu-s/GiB")
	b.ReportMetric(peer.cpu.Seconds()/gib, "curl-cpu-s/GiB")
	if our.peakRSS > peakRSSMax {
		b.Errorf("peak RSS %d bytes, the budget is %d", our.peakRSS, peakRSSMax)
	}
	if length == 512<<20 && ratio < peerRatioMin {
		b.Errorf("%.2f times curl's speed, the budget is %.2f", ratio, peerRatioMin)
	}
}

// fetchWithAgent measures from the record that orders the download to the record that says it is staged, as the
// agent's own log has it; CPU time is the process's whole life.
func fetchWithAgent(b *testing.B, r *repository, address string) cost {
	b.Helper()
	d := newDevice(b, r, "http://"+address+"/metadata", "http://"+address+"/targets", "")
	hook := strings.Replace(hookText, "\tsum=$(sha256sum)\n", "\texit 75\n", 1) // nothing shall come after staging
	must(b, os.WriteFile(d.path("hook"), []byte(hook), 0o755))
	d.start()
	staged := filepath.Join(d.path("state"), "images", r.sha256)
	d.await("the staged image", 5*time.Minute, func() bool {
		_, err := os.Stat(staged)
		return err == nil
	})
	after := d.usage()
	from, to := d.logTime("to=fetching"), d.logTime("to=staged")
	d.kill()
	must(b, os.RemoveAll(d.dir))
	return cost{wall: to.Sub(from), cpu: after.cpu, peakRSS: after.peakRSS}
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

func fetchWithCurl(b *testing.B, r *repository, address, dir string, sync bool) (c cost) {
	b.Helper()
	file := filepath.Join(dir, fmt.Sprintf("ota-curl-%d", os.Getpid()))
	defer os.Remove(file)
	steps := [][]string{{"curl", "-sS", "-o", file, "http://" + address + "/" + r.target}, {"sha256sum", file}}
	if sync {
		steps = slices.Insert(steps, 1, []string{"sync", "-d", file})
	}
	began := time.Now()
	for _, args := range steps {
		cmd := exec.Command(args[0], args[1:]...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %v: %s", args, err, out)
		}
		if args[0] == "sha256sum" && !strings.HasPrefix(string(out), r.sha256) {
			b.Fatalf("curl got %s", out)
		}
		c.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	c.wall = time.Since(began)
	return c
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
		peakRSS: middle(func(c cost) int64 { return c.peakRSS }),
	}
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
