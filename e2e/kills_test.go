package e2e

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// rauc#1517, and any device whose power supply, watchdog or memory is short: the agent is killed 100 times in the
// middle of one download. It goes on where it was, so that all the deaths together cost next to nothing.
func TestAHundredKillsInOneDownload(t *testing.T) {
	const kills, length = 100, 256 << 20
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRepository(t, length)
	server := startNginx(t, r.dir, "", "")
	link := newToxicLink(t, server.address)
	link.add("bandwidth", `{"rate":4000}`) // KB/s
	link.meter()
	d := newDevice(t, r, link.url()+"/metadata", link.url()+"/targets", "")

	// Three of four kills come at a random place in the download, the rest at a random moment of a start.
	var places []int64
	for range kills {
		places = append(places, random.Int64N(length))
	}
	slices.Sort(places)
	last := int64(0)
	for i, place := range places {
		from := link.delivered()
		gap := place - last
		last = place
		d.start()
		if i%4 == 3 {
			time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
		} else {
			d.await("progress of the download", time.Minute, func() bool {
				return link.delivered()-from >= gap || d.got() != ""
			})
		}
		if d.got() != "" {
			t.Fatalf("the download was complete after %d kills", i)
		}
		d.kill()
	}
	d.start()
	d.awaitImage(r, 2*time.Minute)
	fetched := link.delivered()
	beyond := fetched - length
	t.Logf("%d kills: fetched %d bytes, headers and metadata included: %d beyond the image's %d (%.2f %%)",
		kills, fetched, beyond, int64(length), 100*float64(beyond)/length)
	if beyond > length*2/100 {
		t.Errorf("fetched %d bytes beyond the image, which is over 2 %% of it", beyond)
	}
}
