package publish

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

// What a release can be refused for, apart from a malformed field.
var (
	// ErrIndex: the rollback_index is lower than one that was published before, or missing where there was one.
	ErrIndex = errors.New("rollback_index would go backwards")
	// ErrHardware: the release is for hardware that the publisher's settings don't list.
	ErrHardware = errors.New("unknown hardware")
	// ErrTooLong: the targets file is longer than devices accept.
	ErrTooLong = errors.New("longer than devices accept")
	// ErrCycle: releases require each other, so that no device could begin.
	ErrCycle = errors.New("releases require each other")
	// ErrRollout: the rollout is over sooner than a timestamp expires.
	ErrRollout = errors.New("rollout too short")
)

// validText reports whether every client and file system reads s alike.
func validText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool {
		return unicode.IsControl(c) || c == '\\' || c == '\u2028' || c == '\u2029'
	})
}

// checkLength refuses a targets file that every device would refuse.
func (s settings) checkLength(d document[targetsSigned]) error {
	most := s.TargetsFileMax
	if most == 0 {
		most = verifier.DefaultLimits().StatedBytes
	}
	b, err := encode(d)
	if err != nil {
		return err
	}
	if int64(len(b)) <= most {
		return nil
	}
	return fmt.Errorf("targets %d has %d bytes with its %d releases, which is %w: at most %d; remove old releases, or raise targets_file_max in "+
		"each device's config first and then in %s", d.Signed.Version, len(b), len(d.Signed.Targets), ErrTooLong, most, settingsName)
}

func checkHardwareNames(names []string) error {
	for _, n := range names {
		if !release.ValidName(n) {
			return fmt.Errorf("hardware name %q: expected 1 to %d of A-Z a-z 0-9 . _ -", n, release.NameBytesMax)
		}
	}
	return nil
}

// checkHardware refuses names that the settings don't list, where they list any: a slip of the keyboard would make a
// release that no device installs.
func (s settings) checkHardware(names []string) error {
	for _, n := range names {
		if len(s.Hardware) > 0 && !slices.Contains(s.Hardware, n) {
			return fmt.Errorf("%w: %q is none of %s; give --new-hardware if it is right", ErrHardware, n, s.Hardware)
		}
	}
	return nil
}

// checkIndex refuses an index below the highest that the path was ever published with: devices that run that release
// would refuse the lower one for ever.
func (s settings) checkIndex(targetPath string, index *int64) error {
	highest, ok := s.Highest[targetPath]
	switch {
	case !ok:
		return nil
	case index == nil:
		return fmt.Errorf("%s: %w: it has none, an earlier release had %d; devices that run it would refuse this one; give --lower-index if that is meant",
			targetPath, ErrIndex, highest)
	case *index < highest:
		return fmt.Errorf("%s: %w: it is %d, an earlier release had %d; devices that run it would refuse this one; give --lower-index if that is meant",
			targetPath, ErrIndex, *index, highest)
	}
	return nil
}

// rememberIndexes raises the settings' memory to what is about to be published, and makes it durable first.
func (r *Repo) rememberIndexes(targets map[string]targetFile) error {
	raised := map[string]int64{}
	for targetPath, f := range targets {
		info, err := release.Parse(f.Custom)
		if err != nil {
			return fmt.Errorf("%s: %w", targetPath, err)
		}
		if info.RollbackIndex == nil {
			continue
		}
		if highest, ok := r.settings.Highest[targetPath]; !ok || highest < *info.RollbackIndex {
			raised[targetPath] = *info.RollbackIndex
		}
	}
	if len(raised) == 0 {
		return nil
	}
	if r.settings.Highest == nil {
		r.settings.Highest = map[string]int64{}
	}
	for targetPath, index := range raised {
		r.settings.Highest[targetPath] = index
	}
	return r.settings.write(r.disk, r.dir)
}

// Component is the component that a target path is for, by the convention that cycles of requirements are judged by:
// the last segment up to its first dot. "board/stable/rootfs.img" is for "rootfs".
func Component(targetPath string) string {
	base, _, _ := strings.Cut(path.Base(targetPath), ".")
	return base
}

// checkRollout refuses a rollout that is shorter than a timestamp may be old. A device joins by a timestamp
// that was signed shortly before, so a fleet that is shown older ones joins after the end, all together. And
// an order to stop reaches nobody in time.
func (s settings) checkRollout(r *release.Rollout) error {
	if age := s.expiry().Timestamp; r != nil && r.Duration > 0 && r.Duration < age {
		return fmt.Errorf("%w: it lasts %s, and a timestamp of this repository may be %s old before it expires: devices could neither "+
			"join at their places nor hear in time that it was stopped; let it last %s or longer, or let timestamps expire sooner",
			ErrRollout, r.Duration, age, age)
	}
	return nil
}

// checkRequires refuses a release that requires itself (an earlier release of its own component it may require: a
// stepping stone), or that closes a ring of requirements among the releases in
// its directory (which a device runs side by side).
func checkRequires(targets map[string]targetFile, targetPath string) error {
	requires := map[string][]release.Requirement{}
	for p, f := range targets {
		if path.Dir(p) != path.Dir(targetPath) {
			continue
		}
		info, err := release.Parse(f.Custom)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		requires[Component(p)] = slices.DeleteFunc(info.Requires, func(q release.Requirement) bool {
			return q.Component == Component(p) && info.RollbackIndex != nil && q.RollbackIndex < *info.RollbackIndex
		})
	}
	start := Component(targetPath)
	ring := findRing(requires, start, []string{start}, map[string]bool{})
	if ring == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s; no device could begin: publish one of them without the requirement first",
		targetPath, ErrCycle, strings.Join(ring, " requires "))
}

// findRing looks depth-first for a way from the last component of way back to start. seen keeps it linear: a
// component that leads nowhere once never does.
func findRing(requires map[string][]release.Requirement, start string, way []string, seen map[string]bool) []string {
	for _, r := range requires[way[len(way)-1]] {
		if r.Component == start {
			return append(way, start)
		}
		if seen[r.Component] {
			continue
		}
		seen[r.Component] = true
		if ring := findRing(requires, start, append(slices.Clone(way), r.Component), seen); ring != nil {
			return ring
		}
	}
	return nil
}
