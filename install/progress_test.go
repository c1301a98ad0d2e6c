package install

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Lines of progress are taken out of the output, however it is cut into pieces, and nothing else is.
func TestProgressLines(t *testing.T) {
	for _, c := range []struct {
		output, kept string
		percent      int32
	}{
		{"", "", -1},
		{"progress=0\n", "", 0},
		{"progress=7\nprogress=42\r\nprogress=100\n", "", 100},
		{"a=b\nprogress=5\nc=d\n", "a=b\nc=d\n", 5},
		{"progress=5\nprogress=101\n", "progress=101\n", 5},
		{"progress=-1\nprogress=+1\nprogress=\nprogress=1x\n", "progress=-1\nprogress=+1\nprogress=\nprogress=1x\n", -1},
		{"progress=" + strings.Repeat("0", 100) + "1\nx\n", "progress=" + strings.Repeat("0", 100) + "1\nx\n", -1},
		{"my progress=9\n progress=9\nprogress =9\n", "my progress=9\n progress=9\nprogress =9\n", -1},
		{"progress=33", "progress=33", -1}, // no line
		{"prog", "prog", -1},
		{"\n\nprogress=3\n\n", "\n\n\n", 3},
	} {
		for piece := 1; piece <= len(c.output)+1; piece++ {
			var kept capture
			r := progressReader{next: &kept}
			r.percent.Store(-1)
			for rest := c.output; rest != ""; {
				n := min(piece, len(rest))
				if taken, err := r.Write([]byte(rest[:n])); taken != n || err != nil {
					t.Fatalf("%q: took %d, %v", rest[:n], taken, err)
				}
				if len(r.held) > progressLineMax {
					t.Errorf("%q: %d bytes are held back", c.output, len(r.held))
				}
				rest = rest[n:]
			}
			r.end()
			if got := string(kept.head); got != c.kept || r.percent.Load() != c.percent {
				t.Errorf("%q in pieces of %d: kept %q, %d %%; want %q, %d %%", c.output, piece, got, r.percent.Load(), c.kept, c.percent)
			}
		}
	}
}

// While a hook works, what it does can be seen: its verb, its time, its limit, and how far it says to be.
func TestRunningHookIsSeen(t *testing.T) {
	r := newRunner(t, ComponentConfig{Timeouts: Timeouts{Try: time.Hour}})
	fifo := t.TempDir() + "/fifo"
	if err := mkfifo(fifo); err != nil {
		t.Fatal(err)
	}
	hook := script(t, "echo progress=10; echo progress=40; read line <"+fifo+"; echo words; exit 1")
	if run, ok := r.Running("app"); ok {
		t.Errorf("before it began: %+v", run)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Do(t.Context(), agent.VerbTry, job(hook, nil)) }()
	deadline := time.Now().Add(time.Minute)
	for run, ok := r.Running("app"); !ok || run.Percent != 40; run, ok = r.Running("app") {
		if ok && (run.Verb != agent.VerbTry || run.Limit != time.Hour || run.Elapsed <= 0 || run.Elapsed > time.Minute) {
			t.Fatalf("got %+v", run)
		}
		if time.Now().After(deadline) {
			t.Fatalf("its progress was never seen: %+v, %v", run, ok)
		}
		time.Sleep(time.Millisecond)
	}
	if _, ok := r.Running("another"); ok {
		t.Error("another component is said to run it")
	}
	if err := os.WriteFile(fifo, []byte("go on\n"), 0); err != nil {
		t.Fatal(err)
	}
	text := wantReason(t, <-ended, agent.ReasonHookFailed)
	if strings.Contains(text, progressKey) {
		t.Errorf("a line of progress is among the hook's words: %s", text)
	}
	if run, ok := r.Running("app"); ok {
		t.Errorf("after its end: %+v", run)
	}
}

// A verify may say how far it is, too.
func TestProgressIsNoPartOfAnAnswer(t *testing.T) {
	image := pattern(10)
	j := job("", image)
	j.Hook = script(t, "echo progress=1; echo progress=2; echo sha256=$OTA_SHA256; echo progress=100")
	if err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbVerify, j); err != nil {
		t.Error(err)
	}
}

// Of what a hook said its last line comes first, and the rest is not lost.
func TestLastWordsComeFirst(t *testing.T) {
	for body, want := range map[string][]string{
		"echo one; echo two; exit 3":     {"two (component app: hook try B exited with 3; before that it said: one)"},
		"echo one >&2; echo two; exit 3": {"one (component app: hook try B exited with 3)"},
		"exit 3":                         {"component app: hook try B exited with 3: it said nothing"},
		"printf 'a\\nb\\n\\n'; exit 3":   {"b (", "said: a)"},
		"i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done; echo end; exit 3": {"end (", "4999)"},
	} {
		text := wantReason(t, newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbTry, job(script(t, body), nil)), agent.ReasonHookFailed)
		if !strings.HasPrefix(text, want[0]) || !strings.HasSuffix(text, want[len(want)-1]) || len(text) > saidBytesMax+200 {
			t.Errorf("%s: got %q, want %q", body, text, want)
		}
	}
}

// Each verb has a time-out of its own, and a default within its bounds.
func TestEachVerbHasItsTimeout(t *testing.T) {
	var set Timeouts
	for i, one := range AllTimeouts() {
		*one.Of(&set) = time.Duration(i+1) * time.Second
	}
	for i, one := range AllTimeouts() {
		if got := set.of(agent.Verb(one.Name)); got != time.Duration(i+1)*time.Second {
			t.Errorf("%s: got %v", one.Name, got)
		}
		if got := (Timeouts{}).withDefaults().of(agent.Verb(one.Name)); got != one.Default || got < one.Min || got > one.Max {
			t.Errorf("%s: the default is %v, want %v within %v and %v", one.Name, got, one.Default, one.Min, one.Max)
		}
	}
	for _, verb := range []agent.Verb{verbStatus, verbInstall, agent.VerbVerify, agent.VerbTry, agent.VerbConfirm, agent.VerbReject, agent.VerbHealth, agent.VerbGate} {
		if !slices.ContainsFunc(AllTimeouts(), func(one Timeout) bool { return one.Name == string(verb) }) {
			t.Errorf("verb %s has no time-out", verb)
		}
	}
}
