package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The server is killed at random moments, and is away for a random while.
func TestServerKilledAtRandom(t *testing.T) {
	const kills, length = 15, 48 << 20
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	r := newRepository(t, length)
	server := startNginx(t, r.dir, "", "")
	link := newToxicLink(t, server.address)
	link.add("bandwidth", `{"rate":8000}`) // KB/s
	link.meter()
	d := newDevice(t, r, link.url()+"/metadata", link.url()+"/targets", "")
	d.start()
	for range kills {
		time.Sleep(time.Duration(random.Int64N(int64(700 * time.Millisecond))))
		server.kill()
		time.Sleep(time.Duration(random.Int64N(int64(500 * time.Millisecond))))
		server.start()
	}
	d.awaitImage(r, 2*time.Minute)
	fetched := link.delivered()
	t.Logf("%d kills of the server: %d bytes delivered for an image of %d", kills, fetched, int64(length))
	if fetched > length*102/100 {
		t.Errorf("%d bytes beyond the image, which is over 2 %% of it", fetched-length)
	}
}

// Streams are cut after an odd number of bytes, reset in the middle, and come in crumbs: each of toxiproxy's ways.
func TestToxicStreams(t *testing.T) {
	for name, toxic := range map[string]struct{ kind, attributes string }{
		"cut after 700 kB": {"limit_data", `{"bytes":700000}`},
		"in crumbs":        {"slicer", `{"average_size":700,"size_variation":300,"delay":10}`},
		"late":             {"latency", `{"latency":300,"jitter":200}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t, 3<<20)
			server := startNginx(t, r.dir, "", "")
			link := newToxicLink(t, server.address)
			link.add(toxic.kind, toxic.attributes)
			d := newDevice(t, r, link.url()+"/metadata", link.url()+"/targets", "")
			d.start()
			d.awaitImage(r, time.Minute)
		})
	}
}

// The first mirror lies about metadata, or about the image, and the second is honest: the device recovers by
// itself.
func TestLyingFirstMirror(t *testing.T) {
	for name, lie := range map[string]struct {
		path func(r *repository) string
	}{
		"a timestamp that was tampered with": {func(*repository) string { return "metadata/timestamp.json" }},
		"an image that was tampered with":    {func(r *repository) string { return r.target }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			honest := newRepository(t, 1<<20)
			lying := t.TempDir()
			must(t, os.Chmod(lying, 0o755))
			must(t, os.CopyFS(lying, os.DirFS(honest.dir)))
			flipMiddle(t, filepath.Join(lying, lie.path(honest)))
			first, second := startNginx(t, lying, "", ""), startNginx(t, honest.dir, "", "")
			d := newDevice(t, honest, "http://"+first.address+"/metadata", "http://"+first.address+"/targets",
				"metadata_mirrors = [\"http://"+second.address+"/metadata\"]\n"+
					"targets_mirrors = [\"http://"+second.address+"/targets\"]\n")
			d.start()
			d.awaitImage(honest, 30*time.Second)
			if first.requests("GET") == 0 {
				t.Error("the first mirror was never asked")
			}
		})
	}
}

// flipMiddle changes one bit in the middle of a file, where JSON keeps its form: in a digit or letter.
func flipMiddle(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(path, b, 0o644))
}

// The first mirror drips a little above the lowest rate that is allowed, and the second is honest: after a
// minute the image goes on from there, at the byte where it is.
func TestDrippingFirstMirror(t *testing.T) {
	t.Parallel()
	const length = 3 << 20
	r := newRepository(t, length)
	first, second := startNginx(t, r.dir, "", ""), startNginx(t, r.dir, "", "")
	link := newToxicLink(t, first.address)
	link.add("bandwidth", `{"rate":1}`) // KB/s
	d := newDevice(t, r, link.url()+"/metadata", link.url()+"/targets", "targets_mirrors = [\"http://"+second.address+"/targets\"]\n")
	d.start()
	d.awaitImage(r, 4*time.Minute) // an hour at the first alone
	if n := second.requests("GET"); n != 1 {
		t.Errorf("%d requests to the second mirror, want 1", n)
	}
}
