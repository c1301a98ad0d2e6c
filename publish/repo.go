package publish

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Where things lie below a publisher's directory.
const (
	keysDir   = "keys"
	stagedDir = "staged"
	repoDir   = "repo"
)

// MetadataDir is where the metadata of the publisher's directory dir lies.
func MetadataDir(dir string) string { return filepath.Join(dir, repoDir, "metadata") }

// TargetsDir is where the images lie.
func TargetsDir(dir string) string { return filepath.Join(dir, repoDir, "targets") }

// RepositoryDir is what is uploaded.
func RepositoryDir(dir string) string { return filepath.Join(dir, repoDir) }

// Access says what a Repo may sign with.
type Access struct {
	// KeyDirs are looked through for key files beside DIR/keys: a USB stick with the root keys, say.
	KeyDirs []string
	// Signers sign for their keys instead of a key file.
	Signers []Signer
	// Passphrase opens key files; nil: nothing can be signed with them.
	Passphrase Passphrase
}

// A Repo is a publisher's directory, held by this process alone until Close. It is not safe for concurrent use.
type Repo struct {
	dir      string
	disk     disk
	lock     *os.File
	keys     *keyring
	settings settings

	// What is published: the newest root, snapshot and the targets that the snapshot lists.
	root     document[rootSigned]
	snapshot document[snapshotSigned]
	targets  document[targetsSigned]
}

// Open takes the publisher's directory. It fails with ErrNoRepository, ErrLocked, or an error that names the file
// that is torn, was changed by hand, or is not signed by its role.
func Open(dir string, access Access) (*Repo, error) { return open(dir, access, disk{}) }

func open(dir string, access Access, d disk) (_ *Repo, err error) {
	r := &Repo{dir: dir, disk: d}
	if r.settings, err = readSettings(dir); err != nil {
		return nil, err
	}
	if r.lock, err = lock(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	// Read again: another publisher may have ended between the two.
	if r.settings, err = readSettings(dir); err != nil {
		return nil, err
	}
	if err := d.sweep(dir); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	dirs := append([]string{filepath.Join(dir, keysDir)}, access.KeyDirs...)
	if r.keys, err = openKeyring(dirs, access.Signers, access.Passphrase); err != nil {
		return nil, err
	}
	return r, r.load()
}

// Close gives the directory back.
func (r *Repo) Close() error { return unlock(r.lock) }

// Dir is the publisher's directory.
func (r *Repo) Dir() string { return r.dir }

// load reads what is published and checks that it hangs together: the publisher is about to sign on top of it.
func (r *Repo) load() error {
	version, err := r.highest(roleRoot)
	if err != nil {
		return err
	}
	if r.root, _, err = readVersion[rootSigned](r, roleRoot, version); err != nil {
		return err
	}
	if err := checkSigned(r.root, r.root.Signed.signing(roleRoot)); err != nil {
		return err
	}
	if version, err = r.highest(roleSnapshot); err != nil {
		return err
	}
	if r.snapshot, _, err = readVersion[snapshotSigned](r, roleSnapshot, version); err != nil {
		return err
	}
	if err := checkOrigin(r, roleSnapshot, r.snapshot); err != nil {
		return err
	}
	return r.loadTargets()
}

func (r *Repo) loadTargets() error {
	listed, ok := r.snapshot.Signed.Meta[fileName(roleTargets, 0)]
	if !ok {
		return fmt.Errorf("snapshot %d lists no targets.json", r.snapshot.Signed.Version)
	}
	targets, b, err := readVersion[targetsSigned](r, roleTargets, listed.Version)
	if err != nil {
		return err
	}
	if describe(b, listed.Version) != listed {
		return fmt.Errorf("%s is not the file that snapshot %d lists: restore it from a copy",
			r.path(roleTargets, listed.Version), r.snapshot.Signed.Version)
	}
	r.targets = targets
	return checkOrigin(r, roleTargets, targets)
}

// rootsLookedAt bounds how far back checkOrigin looks for the root that a document was signed under.
const rootsLookedAt = 64

// checkOrigin demands that a published document carries its role's signatures: by the newest root's keys, or, right
// after a rotation, by those of an earlier root.
func checkOrigin[T any](r *Repo, role string, d document[T]) error {
	err := checkSigned(d, r.root.Signed.signing(role))
	newest := r.root.Signed.Version
	for v := newest - 1; err != nil && v > 0 && v > newest-rootsLookedAt; v-- {
		root, _, readErr := readVersion[rootSigned](r, roleRoot, v)
		if readErr != nil {
			break
		}
		if checkSigned(d, root.Signed.signing(role)) == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("published %s: %w", role, err)
	}
	return nil
}

// expires is when a document of the role signed now expires.
func (r *Repo) expires(role string, now time.Time) string {
	return formatTime(now.Add(r.settings.expiry().of(role)))
}
