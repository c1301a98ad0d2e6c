package publish

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

// Floors are what an image that is made now may ship beside its trust anchor, so that its devices accept nothing older, also
// without any state. They are read as a device would read them, from repository (the directory that holds metadata/ and
// targets/) and from a root.json that is trusted: no key is needed. They hang on the newest root, version RootVersion,
// which the image must ship as its anchor. components names, by component, the target path whose rollback_index is its floor.
func Floors(repository string, anchor []byte, now time.Time, components map[string]string) (verifier.Floors, error) {
	v := walk{dir: repository, store: map[verifier.Key][]byte{}, remote: map[string][]byte{}}
	refresh, err := verifier.Begin(anchor, verifier.Floors{}, now, verifier.Limits{})
	if err != nil {
		return verifier.Floors{}, fmt.Errorf("trust anchor: %w", err)
	}
	if err := verifier.Drive(refresh, v.answer, v.commit); err != nil {
		return verifier.Floors{}, err
	}
	floors := refresh.Floors()
	for _, name := range slices.Sorted(maps.Keys(components)) {
		floor, err := v.indexFloor(refresh, components[name])
		if err != nil {
			return verifier.Floors{}, fmt.Errorf("component %s: %w", name, err)
		}
		if floors.Index == nil {
			floors.Index = map[string]verifier.Floor{}
		}
		floors.Index[name] = floor
	}
	return floors, nil
}

func (w *walk) indexFloor(refresh *verifier.Refresh, targetPath string) (verifier.Floor, error) {
	search := refresh.Find(targetPath)
	if err := verifier.Drive(search, w.answer, w.commit); err != nil {
		return verifier.Floor{}, err
	}
	found, err := search.Found()
	if err != nil {
		return verifier.Floor{}, err
	}
	info, err := release.Parse(found.Target.Custom)
	if err != nil {
		return verifier.Floor{}, fmt.Errorf("target %s: %w", targetPath, err)
	}
	if info.RollbackIndex == nil || *info.RollbackIndex < 1 {
		return verifier.Floor{}, fmt.Errorf("target %s has no rollback_index of 1 or more, so there is no floor to be made of it", targetPath)
	}
	return verifier.Floor{Version: *info.RollbackIndex, Signers: found.Signers}, nil
}
