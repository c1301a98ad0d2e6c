package sim

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A plan is written STEP=KIND, one fault after the other with commas between them; KIND is one of kinds, and may be followed
// by + and a mishap, or is "suspend".
var kinds = map[string]Fault{"process": {}, "process-done": {Effect: true}, "power": {Power: true}, "power-done": {Effect: true, Power: true}}

const suspend = "suspend"

// planText writes a plan.
func planText(plan map[int]Fault) string {
	var parts []string
	for _, step := range slices.Sorted(maps.Keys(plan)) {
		f := plan[step]
		for name, k := range kinds {
			if k.Effect == f.Effect && k.Power == f.Power {
				parts = append(parts, fmt.Sprintf("%d=%s", step, name))
			}
		}
		if f.Also != "" {
			parts[len(parts)-1] += "+" + string(f.Also)
		}
	}
	return strings.Join(parts, ",")
}

// parsePlan reads a plan, and the step at which the device is suspended; 0: at none.
func parsePlan(text string) (plan map[int]Fault, suspended int, err error) {
	plan = map[int]Fault{}
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		at, what, _ := strings.Cut(part, "=")
		step, err := strconv.Atoi(at)
		kind, also, _ := strings.Cut(what, "+")
		f, known := kinds[kind]
		f.Also = Mishap(also)
		switch {
		case err != nil || !known && kind != suspend || also != "" && !slices.Contains(Mishaps, f.Also):
			return nil, 0, fmt.Errorf("%q is not STEP=KIND or STEP=KIND+MISHAP", part)
		case kind == suspend:
			suspended = step
		default:
			plan[step] = f
		}
	}
	return plan, suspended, nil
}

// storyName is a story's name in the environment and in the name of its test.
func storyName(s story) string { return strings.ReplaceAll(s.name, " ", "_") }

// replayOf is the command that runs a job of a story again.
func replayOf(t *testing.T, j job) string {
	_, name, _ := strings.Cut(t.Name(), "/")
	plan := planText(j.plan)
	if j.suspended > 0 {
		plan = fmt.Sprintf("%d=%s", j.suspended, suspend)
	}
	return fmt.Sprintf("OTA_SIM_STORY=%s OTA_SIM_FAULTS=%q go test -v -run 'TestReplay$' ./agent/sim", name, plan)
}

// TestReplay runs one story with the faults that a failure has named, and shows its trace.
func TestReplay(t *testing.T) {
	name := os.Getenv("OTA_SIM_STORY")
	if name == "" {
		t.Skip("OTA_SIM_STORY and OTA_SIM_FAULTS say what to replay; a failure prints them")
	}
	plan, suspended, err := parsePlan(os.Getenv("OTA_SIM_FAULTS"))
	must(t, err)
	i := slices.IndexFunc(stories, func(s story) bool { return storyName(s) == name })
	if i < 0 {
		t.Fatalf("there is no story %s", name)
	}
	s := stories[i].make(t)
	if suspended > 0 {
		s.events = []event{sleeps(napTime, func(w *World) bool { return w.steps >= suspended })}
	}
	w, why := play(s, 1, plan)
	t.Logf("%d steps, %d boots, %s\n%s\n%s", w.steps, w.boots, w.ran, strings.Join(w.trace, "\n"), w.lastStatus())
	if why != "" {
		t.Fatal(why)
	}
}

// TestPlansAreReadAsWritten: or a failure could not be replayed.
func TestPlansAreReadAsWritten(t *testing.T) {
	for _, f := range Faults {
		for _, m := range append([]Mishap{""}, Mishaps...) {
			f.Also = m
			want := map[int]Fault{7: f, 12: {Effect: true}}
			got, _, err := parsePlan(planText(want))
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%s was read as %v, %v", planText(want), got, err)
			}
		}
	}
	if _, step, err := parsePlan("9=suspend"); step != 9 || err != nil {
		t.Errorf("suspended at step %d, %v", step, err)
	}
	for _, bad := range []string{"x", "1=", "1=fire", "x=power", "1=power+rain"} {
		if _, _, err := parsePlan(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// napTime is how long a device is suspended.
const napTime = 9 * time.Hour

// A part is the share of all jobs that a run takes: each of-th one, beginning with the index-th.
type part struct{ index, of int }

// partOf reads OTA_SIM_PART, as in 1/6: the first of six parts. Without it, a run does everything.
func partOf(t *testing.T) part {
	t.Helper()
	text := os.Getenv("OTA_SIM_PART")
	if text == "" {
		return part{1, 1}
	}
	a, b, _ := strings.Cut(text, "/")
	index, err := strconv.Atoi(a)
	must(t, err)
	of, err := strconv.Atoi(b)
	must(t, err)
	if index < 1 || index > of {
		t.Fatalf("OTA_SIM_PART=%q: it is I/N, with I from 1 to N", text)
	}
	return part{index, of}
}

// takes reports whether the n-th job, from 0, is of the part.
func (p part) takes(n int) bool { return n%p.of == p.index-1 }
