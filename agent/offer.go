package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

// TargetPath is the component's target path on a device: its template, filled in.
func (c Component) TargetPath(d Device) string {
	return strings.NewReplacer("{hardware}", d.Hardware, "{channel}", d.Channel, "{device}", d.ID,
		"{group}", d.Group, "{component}", c.Name).Replace(c.Target)
}

// judge decides whether a release that the repository lists may run on this device. floor is the component's
// rollback_index floor; 0: none, or it is void (fast-forward recovery).
func judge(found verifier.Found, d Device, floor int64) Offer {
	o := Offer{Known: true, Release: &Release{Target: found.Target, Signers: found.Signers}}
	info, err := release.Parse(found.Target.Custom)
	if err != nil {
		o.Problem = &Problem{Reason: ReasonMalformed, Err: err,
			Text: fmt.Sprintf("target %s, role %s: %v", found.Target.Path, found.Role, err)}
		return o
	}
	if len(info.Hardware) > 0 && !slices.Contains(info.Hardware, d.Hardware) {
		o.Problem = &Problem{Reason: ReasonWrongHardware, Text: fmt.Sprintf(
			"target %s is for hardware %s, this device is %q", found.Target.Path, strings.Join(info.Hardware, ", "), d.Hardware)}
		return o
	}
	if floor > 0 {
		o.Problem = judgeIndex(found.Target.Path, info, floor)
	}
	return o
}

// indexFloor is the higher one of what this device has confirmed and what its image demands, as far as these still count.
func indexFloor(holds func(verifier.Floor) bool, confirmed, demanded verifier.Floor) (floor int64) {
	for _, f := range [...]verifier.Floor{confirmed, demanded} {
		if holds(f) {
			floor = max(floor, f.Version)
		}
	}
	return floor
}

func judgeIndex(path string, info release.Info, floor int64) *Problem {
	switch {
	case info.RollbackIndex == nil:
		return &Problem{Reason: ReasonIndexTooLow, Text: fmt.Sprintf(
			"target %s has no rollback_index, and this device demands index %d: the publisher must give it one", path, floor)}
	case *info.RollbackIndex < floor:
		return &Problem{Reason: ReasonIndexTooLow, Text: fmt.Sprintf(
			"target %s has rollback_index %d, and this device demands index %d, which it has confirmed or its image ships", path, *info.RollbackIndex, floor)}
	}
	return nil
}

// raiseIndex returns the floors after a release was confirmed; ok is false where they stay as they are.
func raiseIndex(f verifier.Floors, component string, r *Release) (verifier.Floors, bool) {
	index := r.Info().RollbackIndex
	if index == nil || *index <= 0 {
		return f, false
	}
	old := f.Index[component]
	if old.Version == *index && slices.Equal(old.Signers, r.Signers) {
		return f, false
	}
	raised := make(map[string]verifier.Floor, len(f.Index)+1)
	for name, floor := range f.Index {
		raised[name] = floor
	}
	raised[component] = verifier.Floor{Version: *index, Signers: r.Signers}
	f.Index = raised
	return f, true
}
