package publish

import (
	"fmt"
	"time"
)

// publishRoot writes the staged root, if there is one: signed by the thresholds of the last root and of its own
// (TUF 6.1). Root keys lie offline as a rule, so it only signs with what is at hand and says what is missing.
func (r *Repo) publishRoot(now time.Time) (string, error) {
	d, staged, err := readStaged[rootSigned](r, roleRoot, r.root.Signed.Version)
	if err != nil || !staged {
		return "", err
	}
	if len(d.Signatures) == 0 {
		d.Signed.Expires = r.expires(roleRoot, now)
	}
	if err := sign(r.keys, &d, r.root.Signed.signing(roleRoot), d.Signed.signing(roleRoot)); err != nil {
		return "", fmt.Errorf("%w; add what is missing with \"ota-repo sign root\"", err)
	}
	if err := writeStaged(r, roleRoot, d); err != nil {
		return "", err
	}
	path, err := putVersion(r, roleRoot, d.Signed.Version, d)
	if err != nil {
		return "", err
	}
	r.root = d
	return path, r.unstage(roleRoot)
}
