//go:build linux && amd64

package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ota-agent/ota-agent/agent"
)

// A newer agent is this one's source with edits that only its own build sees (go build -overlay). They are what a later
// version may do: it adds, and what it writes stays readable by this one.
const (
	// The newer agent passes through soaking between staged and writing, and through proving between trial and confirming.
	soaking agent.Phase = "soaking"
	proving agent.Phase = "proving"
	// newerVersion is what its status says.
	newerVersion = "newer"
	// newerSchema is that of its database and of its records.
	newerSchema = 2
	// soaksBucket is its own bucket: by component, the ID of the release that soaked last.
	soaksBucket = "soaks"
	// floorsSoak is what it appends to the floors.
	floorsSoak = "soak\x00\x00\x00\x01"
)

// An edit replaces old, which occurs once in file, by new.
type edit struct{ file, old, new string }

var newerEdits = []edit{
	// The database: its number, a bucket more, a longer floors record.
	{"storage/schema.go", "const schemaVersion = 1\n",
		fmt.Sprintf("const (\n	schemaVersion = %d\n	readableBy    = READABLE_BY\n	bucketSoaks   = %q\n)\n", newerSchema, soaksBucket)},
	{"storage/schema.go", "ReadableBy: schemaVersion})", "ReadableBy: readableBy})"},
	{"storage/plan.go", "p.singles, p.events}", "p.singles, p.events, p.soaks}"},
	{"storage/floors.go", "	return b, nil\n}\n\nfunc appendFloor(", fmt.Sprintf("	return append(b, %q...), nil\n}\n\nfunc appendFloor(", floorsSoak)},
	{"storage/floors.go", "	if r.bad {\n		return verifier.Floors{}, ",
		fmt.Sprintf("	r.take(min(len(r.rest), %d))\n	if r.bad {\n		return verifier.Floors{}, ", len(floorsSoak))},
	// The record: its number, a field more, which is always there.
	{"agent/record.go", "const RecordSchema = 1\n", fmt.Sprintf("const RecordSchema = %d\n", newerSchema)},
	{"agent/record.go", "`json:\"deferral,omitzero\"`\n}\n", "`json:\"deferral,omitzero\"`\n	Soaks    int      `json:\"soaks\"`\n}\n"},
	{"agent/step.go", "		Deferral: r.Deferral,\n", "		Deferral: r.Deferral, Soaks: r.Soaks,\n"},
	// The phases: soaking is held by the gates that hold staged, and proving asks what a trial asks.
	{"agent/record.go", "	Staged     Phase = \"staged\"\n",
		fmt.Sprintf("	Staged     Phase = \"staged\"\n	Soaking    Phase = %q\n	Proving    Phase = %q\n", soaking, proving)},
	{"agent/action.go", "	Order ActionKind = \"order\"\n", "	Order ActionKind = \"order\"\n	Soak  ActionKind = \"soak\"\n"},
	{"agent/machine.go", "	case Staged:\n		return nextStaged(r, f)\n", "	case Staged, Soaking:\n		return nextStaged(r, f)\n"},
	{"agent/machine.go", "	return Action{Kind: Order, Slot: slot}\n",
		"	if r.Phase == Staged {\n		return Action{Kind: Soak}\n	}\n	return Action{Kind: Order, Slot: slot}\n"},
	{"agent/step.go", "	case Restage:\n", "	case Soak:\n		r.Phase, r.Soaks = Soaking, r.Soaks+1\n	case Restage:\n"},
	{"agent/machine.go", "	case Trial:\n		return nextTrial(r, f)\n", "	case Trial, Proving:\n		return nextTrial(r, f)\n"},
	{"agent/step.go", "		r.enter(Confirming, a)\n",
		"		if r.Phase == Trial {\n			r.enter(Proving, a)\n		} else {\n			r.enter(Confirming, a)\n		}\n"},
	// The event.
	{"agent/event.go", "	EventStaged    EventKind = \"staged\"\n", fmt.Sprintf("	EventStaged    EventKind = \"staged\"\n	EventSoaking   EventKind = %q\n", soaking)},
	{"agent/event.go", "	case EventTakenUp, ", "	case EventSoaking, EventTakenUp, "},
	{"agent/event_tell.go", "	case from.Phase == Writing && to.Phase == Switched:\n",
		"	case to.Phase == Soaking:\n		add(EventSoaking, to.Release, nil)\n	case from.Phase == Writing && to.Phase == Switched:\n"},
}

// soaksSource is a file more: what the newer agent adds to a commit of anything.
const soaksSource = `package storage

import "github.com/ota-agent/ota-agent/agent"

func (p *plan) soaks(c agent.Change) error {
	if len(p.writes) == 0 {
		return nil
	}
	if err := p.json(bucketStore, keySchema, schema{Schema: schemaVersion, ReadableBy: readableBy}); err != nil {
		return err
	}
	for _, r := range c.Records {
		if r.Phase == agent.Soaking {
			if err := p.json(bucketSoaks, r.Component, r.Release.ID()); err != nil {
				return err
			}
		}
	}
	return nil
}
`

// newerBinary is the newer agent; closedBinary one whose database needs a reader as new as itself. Each is built once for
// all tests, beside agentBinary.
var (
	newerBinary  = sync.OnceValues(func() (string, error) { return buildNewer("newer", 1) })
	closedBinary = sync.OnceValues(func() (string, error) { return buildNewer("closed", newerSchema) })
)

func buildNewer(name string, readableBy int) (string, error) {
	older, err := agentBinary()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(older), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	overlay, err := writeOverlay(dir, readableBy)
	if err != nil {
		return "", fmt.Errorf("the newer agent: %w", err)
	}
	out := filepath.Join(dir, "ota-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-overlay", overlay, "-ldflags", "-X main.version="+newerVersion,
		"-o", out, "./cmd/ota-agent")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the newer agent: %w\n%s", err, text)
	}
	return out, nil
}

// writeOverlay writes the edited files to dir, and says to the compiler where they belong.
func writeOverlay(dir string, readableBy int) (string, error) {
	sources := map[string]string{"storage/soaks.go": soaksSource}
	for _, e := range newerEdits {
		if sources[e.file] == "" {
			text, err := os.ReadFile(filepath.Join("..", e.file))
			if err != nil {
				return "", err
			}
			sources[e.file] = string(text)
		}
		if n := strings.Count(sources[e.file], e.old); n != 1 {
			return "", fmt.Errorf("the place of an edit occurs %d times in %s, expected once:\n%s", n, e.file, e.old)
		}
		sources[e.file] = strings.Replace(sources[e.file], e.old, strings.ReplaceAll(e.new, "READABLE_BY", fmt.Sprint(readableBy)), 1)
	}
	replace := map[string]string{}
	var errs []error
	for file, text := range sources {
		real, err := filepath.Abs(filepath.Join("..", file))
		edited := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		replace[real] = edited
		errs = append(errs, err, os.WriteFile(edited, []byte(text), 0o600))
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(append(errs, err, os.WriteFile(overlay, text, 0o600))...)
}
