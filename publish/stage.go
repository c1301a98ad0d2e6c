package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"time"
)

// A staged document is a role's next version in the making. Editing it throws its signatures away and takes a
// version that no file has; the first signature dates it. So what several people sign one after the other is one
// fixed thing, and a version that was ever written with other content is never written again.

func (r *Repo) stagedPath(role string) string { return filepath.Join(r.dir, stagedDir, role+".json") }

// readStaged reads a staged document. One that is not newer than what is published was published by a run that died
// before it could clear up: it does not count.
func readStaged[T any](r *Repo, role string, published int64) (d document[T], ok bool, err error) {
	d, _, err = readDocument[T](r.stagedPath(role), role, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return d, false, nil
	}
	if err != nil {
		return d, false, fmt.Errorf("%w; remove the file to drop the edits in it", err)
	}
	return d, headOf(&d.Signed).version > published, nil
}

func writeStaged[T any](r *Repo, role string, d document[T]) error {
	b, err := encode(d)
	if err != nil {
		return err
	}
	if err := r.disk.mkdirAll(filepath.Join(r.dir, stagedDir), secretDir); err != nil {
		return err
	}
	return r.disk.writeFile(r.stagedPath(role), b, secretMode)
}

func (r *Repo) unstage(role string) error { return r.disk.remove(r.stagedPath(role)) }

// stagedTargets is what the next snapshot will publish: the staged targets, or else the published ones. The map may
// be changed.
func (r *Repo) stagedTargets() (d document[targetsSigned], staged bool, err error) {
	d, staged, err = readStaged[targetsSigned](r, roleTargets, r.targets.Signed.Version)
	if err != nil || staged {
		return d, staged, err
	}
	d = r.targets
	d.Signed.Targets = maps.Clone(d.Signed.Targets)
	return d, false, nil
}

// editTargets stages the targets with an edit.
func (r *Repo) editTargets(edit func(*targetsSigned) error) error {
	d, _, err := r.stagedTargets()
	if err != nil {
		return err
	}
	if err := edit(&d.Signed); err != nil {
		return err
	}
	highest, err := r.highest(roleTargets)
	if err != nil {
		return err
	}
	d.Signed.Version = highest + 1
	d.Signatures = []Signature{}
	return writeStaged(r, roleTargets, d)
}

// publishTargets signs staged targets and writes their file. Without staged ones it renews the published targets
// where they would expire before a snapshot made now, or where a new root has given the role other keys. It returns
// the images that are new, and the file; both empty where nothing was done.
func (r *Repo) publishTargets(now time.Time) (images []string, path string, err error) {
	d, staged, err := r.stagedTargets()
	if err != nil {
		return nil, "", err
	}
	renew, err := r.mustRenewTargets(now)
	if err != nil || !staged && !renew {
		return nil, "", err
	}
	if !staged {
		highest, err := r.highest(roleTargets)
		if err != nil {
			return nil, "", err
		}
		d.Signed.Version, d.Signatures = highest+1, []Signature{}
	}
	if len(d.Signatures) == 0 {
		d.Signed.Expires = r.expires(roleTargets, now)
	}
	if err := sign(r.keys, &d, r.root.Signed.signing(roleTargets)); err != nil {
		return nil, "", fmt.Errorf("%w; add what is missing with \"ota-repo sign targets\"", err)
	}
	if err := r.checkUnexpired(roleTargets, d.Signed.Expires, now); err != nil {
		return nil, "", err
	}
	if err := r.settings.checkLength(d); err != nil {
		return nil, "", err
	}
	if err := r.rememberIndexes(d.Signed.Targets); err != nil {
		return nil, "", err
	}
	// Kept before it is written: should this run die in between, the next one writes the same and not a second
	// content of this version.
	if err := writeStaged(r, roleTargets, d); err != nil {
		return nil, "", err
	}
	images = newImages(r.targets.Signed.Targets, d.Signed.Targets)
	if path, err = r.putTargets(d); err != nil {
		return nil, "", err
	}
	r.targets = d
	return images, path, nil
}

// putTargets writes a targets version. Where a run that died wrote it, and another key has signed since, the file that
// is there stays: it may have been uploaded.
func (r *Repo) putTargets(d document[targetsSigned]) (string, error) {
	version := d.Signed.Version
	there, _, err := readVersion[targetsSigned](r, roleTargets, version)
	if err != nil {
		return putVersion(r, roleTargets, version, d)
	}
	mine, err := canonical(d.Signed)
	if err != nil {
		return "", err
	}
	theirs, err := canonical(there.Signed)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(mine, theirs) || checkSigned(there, r.root.Signed.signing(roleTargets)) != nil {
		return putVersion(r, roleTargets, version, d)
	}
	return upload("metadata", fileName(roleTargets, version)), nil
}

// mustRenewTargets reports whether the published targets would spoil a snapshot made now.
func (r *Repo) mustRenewTargets(now time.Time) (bool, error) {
	if checkSigned(r.targets, r.root.Signed.signing(roleTargets)) != nil {
		return true, nil
	}
	expires, err := parseTime(r.targets.Signed.Expires)
	if err != nil {
		return false, err
	}
	return expires.Before(now.Add(r.settings.expiry().Snapshot)), nil
}
