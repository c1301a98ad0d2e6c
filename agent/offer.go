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
// rollback_index floor, and holds says that its signers still count (else it is void: fast-forward recovery).
func judge(found verifier.Found, d Device, floor verifier.Floor, holds bool) Offer {
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
	if floor.Version > 0 && holds {
		o.Problem = judgeIndex(found.Target.Path, info, floor.Version)
	}
	return o
}

func judgeIndex(path string, info release.Info, floor int64) *Problem {
	switch {
	case info.RollbackIndex == nil:
		return &Problem{Reason: ReasonIndexTooLow, Text: fmt.Sprintf(
			"target %s has no rollback_index, and this device has confirmed index %d: the publisher must give it one", path, floor)}
	case *info.RollbackIndex < floor:
		return &Problem{Reason: ReasonIndexTooLow, Text: fmt.Sprintf(
			"target %s has rollback_index %d, and this device has confirmed index %d", path, *info.RollbackIndex, floor)}
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
