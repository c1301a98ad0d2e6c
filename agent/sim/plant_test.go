package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A bug is planted on purpose, to show that the simulation finds it. One of the world's is a port that breaks
// its contract. One of the agent's is an edit of its source that only the test's own build sees (go build
// -overlay): so no switch for it lies in the agent, and an edit whose place is gone fails the test.
type bug struct {
	name string
	file string // below agent/; empty: the world plants it
	old  string // occurs once in file
	new  string // %s stands for what is true while this bug is planted
}

var bugs = []bug{
	{name: plantNoDirSync},
	{name: plantEarlyRename},
	{name: plantFloorsLost},
	{name: plantFloorsLate},
	{name: plantRawTLS},
	{
		name: "act before commit",
		file: "work.go",
		old:  "			return outcome{}, e.install(ctx, c, r)\n",
		new: "			err := e.install(ctx, c, r)\n			if %s && err == nil {\n" +
			"				err = e.p.Installer.Do(ctx, VerbTry, e.job(c, r))\n			}\n			return outcome{}, err\n",
	},
	{
		name: "confirm without checking the boot ID",
		file: "machine_trial.go",
		old:  "	case f.BootID != r.BootID:\n		return Action{Kind: Enter}\n	case f.Failures > 0",
		new:  "	case f.BootID != r.BootID && !(%s):\n		return Action{Kind: Enter}\n	case f.Failures > 0",
	},
	{
		name: "attempts counted on network errors",
		file: "step.go",
		old:  "	switch {\n	case a.Kind == Examine && p.Reason.isVerdict(),\n",
		new: "	if %[1]s && a.Kind == Fetch && p.Reason != ReasonHashMismatch {\n		r.Attempts++\n		if r.Attempts >= 3 {\n" +
			"			id := r.Release.ID()\n			r.rest()\n			r.Rejected = reject(r.Rejected, id, \"\", *p)\n" +
			"		}\n		return\n	}\n	switch {\n	case a.Kind == Examine && p.Reason.isVerdict(),\n",
	},
	{
		name: "floor taken from the raw clock",
		file: "refresh.go",
		old:  "	floor, news := floor.learn(r.SignedAt(), ",
		new:  "	signedAt := r.SignedAt()\n	if %s {\n		signedAt, _ = e.p.System.Clock()\n	}\n	floor, news := floor.learn(signedAt, ",
	},
	{
		name: "the anchor of a trial adopted at once",
		file: "anchor.go",
		old:  "	if now := r.Floors(); onTrial && (now",
		new:  "	if now := r.Floors(); !(%s) && onTrial && (now",
	},
	{
		name: "reject on metadata failure",
		file: "machine_trial.go",
		old:  "		if !reached && f.askedAfter(limit) {",
		new: "		if %s && !reached {\n			return Action{Kind: Condemn, Problem: overdue(f, r, limit)}\n		}\n" +
			"		if !reached && f.askedAfter(limit) {",
	},
	{
		name: "index floor raised before status shows the confirm",
		file: "ledger.go",
		old:  "	c := Change{}\n",
		new: "	c := Change{}\n	if %s && r.Phase == Confirming {\n" +
			"		if floors, ok := raiseIndex(l.state.Floors, r.Component, r.Release); ok {\n			c.Metadata.Floors = &floors\n		}\n	}\n",
	},
	{
		name: "try without asking the repository once more",
		file: "machine_trial.go",
		old:  "	case !r.Back && (!f.Fresh || !f.Offer.Known):\n",
		new:  "	case !(%s) && !r.Back && (!f.Fresh || !f.Offer.Known):\n",
	},
	{
		name: "a trial that found an empty state put to the proof",
		file: "doubt.go",
		old:  "	return f.StateNew && r.Confirmed == nil",
		new:  "	return !(%s) && f.StateNew && r.Confirmed == nil",
	},
	{
		name: "a trial that was cut short not counted",
		file: "cuts.go",
		old:  "	return r.Cuts.and(",
		new:  "	if %s {\n		return r.Cuts\n	}\n	return r.Cuts.and(",
	},
	{
		name: "a try that ended the agent done again",
		file: "machine_trial.go",
		old:  "		case r.Acted, f.Slots.Booted == r.TargetSlot: //",
		new:  "		case r.Acted, !(%s) && f.Slots.Booted == r.TargetSlot: //",
	},
	{
		name: "a reject that ended the agent done again",
		file: "machine_trial.go",
		old:  "	case f.ended(r) && f.isBack(r):\n",
		new:  "	case !(%s) && f.ended(r) && f.isBack(r):\n",
	},
	{
		name: "a back-off that ends when the status is had",
		file: "observe.go",
		old:  "	c.blind = o.problem\n",
		new:  "	c.blind = o.problem\n	if %s && o.problem == nil {\n		c.failure, c.failures = nil, 0\n	}\n",
	},
	{
		name: "an event committed after its change",
		file: "ledger.go",
		old:  "	events := l.outbox.into(&c)\n",
		new: "	if %s && len(c.Records) > 0 {\n		defer func(late []Event) { l.outbox.ahead = append(l.outbox.ahead, late...) }(c.Events)\n		c.Events = nil\n	}\n" +
			"	events := l.outbox.into(&c)\n",
	},
	{
		name: "an event taken for told once it was sent",
		file: "event_outbox.go",
		old:  "			l.outbox.handed = max(l.outbox.handed, e.Seq)\n",
		new:  "			l.outbox.handed = max(l.outbox.handed, e.Seq)\n			if %s {\n				l.outbox.told = e.Seq\n			}\n",
	},
	{
		name: "an acknowledgement of what was never told believed",
		file: "event_outbox.go",
		old:  "	if seq <= l.outbox.handed {\n",
		new:  "	if seq <= l.outbox.handed || %s {\n",
	},
}

// runsMax is how many random worlds may go by before a planted bug is found.
const runsMax = 2000

// TestPlantedBugs plants each bug and counts the worlds until one breaks a promise. The build with the
// agent's bugs in it is this package's own test binary, made once, and it starts with no bug planted: then
// nothing may be found.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the agent again, with bugs in it")
	}
	t.Parallel()
	hunter := buildWithBugs(t)
	for _, b := range append([]bug{{name: "none"}}, bugs...) {
		t.Run(b.name, func(t *testing.T) {
			cmd := exec.Command(hunter, "-test.run", "^TestHunt$", "-test.v")
			cmd.Env = append(os.Environ(), "OTA_SIM_PLANT="+b.name)
			out, err := cmd.CombinedOutput()
			found := regexp.MustCompile(`caught after \d+ worlds.*`).Find(out)
			switch exit := new(exec.ExitError); {
			case err != nil && !errors.As(err, &exit):
				t.Fatal(err)
			case b.name == "none" && (err != nil || found != nil):
				t.Fatalf("without a bug the hunt found one:\n%s", out)
			case b.name != "none" && found == nil:
				t.Fatalf("not found in %d worlds:\n%s", runsMax, out)
			}
			t.Logf("%s", found)
		})
	}
}

// TestHunt runs the stories and then random worlds with the bug that TestPlantedBugs named, until one finds it.
func TestHunt(t *testing.T) {
	name := os.Getenv("OTA_SIM_PLANT")
	if name == "" {
		t.Skip("it is TestPlantedBugs that runs this")
	}
	worlds := runsMax
	if name == "none" {
		worlds = runsMax / 40
	}
	p := newPalette(t)
	for i := range worlds {
		s := p.swarm(uint64(i))
		if i < len(stories) {
			s = stories[i].make(t)
		}
		w := NewWorld(s, uint64(i), nil)
		w.plant = name
		if why := w.Run(); why != "" {
			t.Logf("caught after %d worlds: %s", i+1, why)
			return
		}
	}
}

// buildWithBugs builds this package's tests over an agent with all of its bugs, each asleep until the environment
// names it.
func buildWithBugs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	write := func(file string, text []byte) {
		real, err := filepath.Abs(filepath.Join("..", file))
		must(t, err)
		replace[real] = filepath.Join(dir, file)
		must(t, os.WriteFile(replace[real], text, 0o600))
	}
	sources := map[string][]byte{}
	for _, b := range bugs {
		if b.file == "" {
			continue
		}
		if sources[b.file] == nil {
			text, err := os.ReadFile(filepath.Join("..", b.file))
			must(t, err)
			sources[b.file] = text
		}
		if n := bytes.Count(sources[b.file], []byte(b.old)); n != 1 {
			t.Fatalf("%s: its place occurs %d times in agent/%s, expected once:\n%s", b.name, n, b.file, b.old)
		}
		planted := strings.ReplaceAll(fmt.Sprintf(strings.ReplaceAll(b.new, "%s", "%[1]s"), fmt.Sprintf("planted(%q)", b.name)), "%%", "%")
		sources[b.file] = bytes.Replace(sources[b.file], []byte(b.old), []byte(planted), 1)
	}
	for file, text := range sources {
		write(file, text)
	}
	write("planted.go", []byte("package agent\n\nimport \"os\"\n\nfunc planted(bug string) bool { return os.Getenv(\"OTA_SIM_PLANT\") == bug }\n"))
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	hunter := filepath.Join(dir, "hunter.test")
	build := exec.Command("go", "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"), "-o", hunter, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return hunter
}
