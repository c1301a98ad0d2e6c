package publish

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ota-agent/ota-agent/release"
)

// An Addition is a release to stage.
type Addition struct {
	// Path is the target path that devices ask for: "board/stable/rootfs.img".
	Path string
	// Image is read once, to its end.
	Image io.Reader
	// Info is what the release is; the zero value: an image without a custom.ota object.
	Info release.Info
	// LowerIndex admits a rollback_index below an earlier release's, or none after one. Devices that run the earlier
	// release refuse this one.
	LowerIndex bool
	// NewHardware admits hardware names that the settings don't list, and lists them from now on.
	NewHardware bool
}

// Add puts an image into the repository and stages its entry. Devices see it after Snapshot and Timestamp.
func (r *Repo) Add(a Addition) (Image, error) {
	custom, err := r.checkAddition(a)
	if err != nil {
		return Image{}, err
	}
	staged, _, err := r.stagedTargets()
	if err != nil {
		return Image{}, err
	}
	staged.Signed.Targets[a.Path] = targetFile{Custom: custom}
	if err := checkRequires(staged.Signed.Targets, a.Path); err != nil {
		return Image{}, err
	}
	image, err := r.putImage(a.Path, a.Image)
	if err != nil {
		return Image{}, err
	}
	if err := r.learnHardware(a.Info.Hardware); err != nil {
		return Image{}, err
	}
	return image, r.editTargets(func(t *targetsSigned) error {
		t.Targets[a.Path] = targetFile{
			Custom: custom, Hashes: fileHashes{SHA256: image.SHA256}, Length: image.Length,
		}
		return nil
	})
}

// checkAddition judges everything that can be judged before the image is read.
func (r *Repo) checkAddition(a Addition) (custom []byte, err error) {
	if err := checkTargetPath(a.Path); err != nil {
		return nil, err
	}
	if !isZero(a.Info) {
		if custom, err = a.Info.Custom(); err != nil {
			return nil, fmt.Errorf("%s: %w", a.Path, err)
		}
	}
	if err := r.settings.checkRollout(a.Info.Rollout); err != nil {
		return nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	if !a.NewHardware {
		if err := r.settings.checkHardware(a.Info.Hardware); err != nil {
			return nil, fmt.Errorf("%s: %w", a.Path, err)
		}
	}
	if !a.LowerIndex {
		if err := r.settings.checkIndex(a.Path, a.Info.RollbackIndex); err != nil {
			return nil, err
		}
	}
	return custom, nil
}

func isZero(i release.Info) bool {
	return i.Version == "" && i.RollbackIndex == nil && len(i.Hardware) == 0 && i.Rollout == nil && !i.Urgent &&
		len(i.Requires) == 0 && i.Notes == ""
}

// learnHardware lists new names in the settings, where they list any.
func (r *Repo) learnHardware(names []string) error {
	if len(r.settings.Hardware) == 0 {
		return nil
	}
	before := len(r.settings.Hardware)
	for _, n := range names {
		if !slices.Contains(r.settings.Hardware, n) {
			r.settings.Hardware = append(r.settings.Hardware, n)
		}
	}
	if len(r.settings.Hardware) == before {
		return nil
	}
	return r.settings.write(r.disk, r.dir)
}

// ErrNotListed: no such target path.
var ErrNotListed = errors.New("not listed")

// Remove stages the removal of a target path. Its image stays: devices may be fetching it.
func (r *Repo) Remove(targetPath string) error {
	return r.editTargets(func(t *targetsSigned) error {
		if _, ok := t.Targets[targetPath]; !ok {
			return fmt.Errorf("%s: %w in targets", targetPath, ErrNotListed)
		}
		delete(t.Targets, targetPath)
		return nil
	})
}
