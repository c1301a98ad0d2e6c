package fetch

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"
)

// memoryMax is what a hostile answer may make both ends of a story allocate: their buffers, and nothing that grows with
// what the server sends.
const memoryMax = 2 << 20

// Figures are what the stories of a test cost: go test -v prints them.
type figures struct {
	what string
	rows []string
}

// A meter runs from the beginning of a story.
type meter struct {
	begun     time.Time
	allocated uint64
}

func startMeter() meter {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return meter{begun: time.Now(), allocated: m.TotalAlloc}
}

// note ends the story and checks its memory; it returns the time that passed on the story's own clock.
func (f *figures) note(t *testing.T, m meter, s *scene, err error) time.Duration {
	t.Helper()
	passed := time.Since(m.begun)
	synctest.Wait()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	allocated := now.TotalAlloc - m.allocated
	if allocated > memoryMax {
		t.Errorf("%d bytes allocated, want at most %d", allocated, memoryMax)
	}
	outcome := string(reasonOf(err))
	if err == nil {
		outcome = "taken"
	}
	name := t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
	f.rows = append(f.rows, fmt.Sprintf("%s\t%d\t%.0f s\t%d KiB\t%s\n", strings.ReplaceAll(name, "_", " "), s.sent.Load(), passed.Seconds(), allocated>>10, outcome))
	return passed
}

func (f *figures) log(t *testing.T) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\tbytes sent\ttime\tmemory, both ends\toutcome\n", f.what)
	for _, r := range f.rows {
		fmt.Fprint(w, r)
	}
	w.Flush()
	t.Logf("what each story cost, at most:\n%s", b.String())
}
