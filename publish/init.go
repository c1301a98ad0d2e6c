package publish

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Options say how a new repository is made.
type Options struct {
	// Now is the time of signing.
	Now time.Time
	// Passphrase encrypts the new key files.
	Passphrase Passphrase
	// Roles sets keys and thresholds by role; a role that is not listed has one key and threshold 1.
	Roles map[string]RoleOptions
	// Expiry by role; zero fields take the default.
	Expiry Expiry
	// Hardware lists the names that releases may be for; empty: any.
	Hardware []string
	// KDF is what opening a key file costs; the zero value is right for real keys.
	KDF KDF
	// Random is where keys come from; nil: the system's generator.
	Random io.Reader
}

// RoleOptions is how many keys a role gets, and how many of them must sign.
type RoleOptions struct {
	Keys      int // 1 to 16; 0: 1
	Threshold int // 1 to Keys; 0: 1
}

const roleKeysMax = 16

func (o Options) role(role string) RoleOptions {
	r := o.Roles[role]
	if r.Keys == 0 {
		r.Keys = 1
	}
	if r.Threshold == 0 {
		r.Threshold = 1
	}
	return r
}

func (o Options) validate() error {
	for role, r := range o.Roles {
		if !isTopRole(role) {
			return fmt.Errorf("role %q: expected one of %s", role, topRoles())
		}
		r = o.role(role)
		if r.Keys < 1 || r.Keys > roleKeysMax || r.Threshold < 1 || r.Threshold > r.Keys {
			return fmt.Errorf("role %s: %d keys and threshold %d: expected 1 to %d keys and a threshold of at most that many",
				role, r.Keys, r.Threshold, roleKeysMax)
		}
	}
	if err := checkHardwareNames(o.Hardware); err != nil {
		return err
	}
	if err := o.KDF.withDefaults().validate(); err != nil {
		return err
	}
	return o.Expiry.withDefaults().validate()
}

func isTopRole(role string) bool {
	for _, r := range topRoles() {
		if r == role {
			return true
		}
	}
	return false
}

// Init makes a publisher's directory with new keys and a signed, empty repository. dir must not exist or be empty.
// It returns the files of the repository in the order in which they are to be uploaded.
func Init(dir string, o Options) (uploads []string, err error) { return initialise(dir, o, disk{}) }

func initialise(dir string, o Options, d disk) (uploads []string, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := checkEmpty(dir); err != nil {
		return nil, err
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	for _, sub := range []struct {
		path string
		mode fs.FileMode
	}{
		{filepath.Join(dir, keysDir), secretDir},
		{filepath.Join(dir, stagedDir), secretDir},
		{MetadataDir(dir), dirMode},
		{TargetsDir(dir), dirMode},
	} {
		if err := d.mkdirAll(sub.path, sub.mode); err != nil {
			return nil, err
		}
	}
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	r := &Repo{dir: dir, disk: d, lock: held, settings: newSettings(o.Expiry.withDefaults(), o.Hardware)}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.first(o)
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, settingsName)); err == nil {
		return fmt.Errorf("%s already holds a repository: use it, or choose another directory", dir)
	}
	return fmt.Errorf("%s is not empty: choose an empty directory; an init that was interrupted is deleted and started again", dir)
}

// first makes keys and the first version of each role. The settings come last: they say that all of it is there.
func (r *Repo) first(o Options) ([]string, error) {
	root := rootSigned{
		Type: roleRoot, ConsistentSnapshot: true, SpecVersion: specVersion, Version: 1,
		Expires: r.expires(roleRoot, o.Now),
		Keys:    map[string]Key{}, Roles: map[string]RoleKeys{},
	}
	var signers []Signer
	for _, role := range topRoles() {
		made, err := r.makeKeys(role, o)
		if err != nil {
			return nil, err
		}
		keys := RoleKeys{Threshold: o.role(role).Threshold}
		for _, s := range made {
			id, err := s.Key().ID()
			if err != nil {
				return nil, err
			}
			root.Keys[id] = s.Key()
			keys.KeyIDs = append(keys.KeyIDs, id)
		}
		root.Roles[role] = keys
		signers = append(signers, made...)
	}
	var err error
	if r.keys, err = openKeyring(nil, signers, nil); err != nil {
		return nil, err
	}
	r.root = document[rootSigned]{Signed: root}
	return r.firstMetadata(o.Now)
}

func (r *Repo) firstMetadata(now time.Time) ([]string, error) {
	var uploads []string
	if err := sign(r.keys, &r.root, r.root.Signed.signing(roleRoot)); err != nil {
		return nil, err
	}
	path, err := putVersion(r, roleRoot, 1, r.root)
	if err != nil {
		return nil, err
	}
	uploads = append(uploads, path)
	r.targets = document[targetsSigned]{Signed: targetsSigned{
		Type: roleTargets, SpecVersion: specVersion, Version: 1,
		Expires: r.expires(roleTargets, now), Targets: map[string]targetFile{},
	}}
	if err := sign(r.keys, &r.targets, r.root.Signed.signing(roleTargets)); err != nil {
		return nil, err
	}
	if path, err = putVersion(r, roleTargets, 1, r.targets); err != nil {
		return nil, err
	}
	uploads = append(uploads, path)
	if path, err = r.putSnapshot(1, now); err != nil {
		return nil, err
	}
	uploads = append(uploads, path)
	if path, err = r.putTimestamp(1, now); err != nil {
		return nil, err
	}
	return append(uploads, path), r.settings.write(r.disk, r.dir)
}

func (r *Repo) makeKeys(role string, o Options) ([]Signer, error) {
	var signers []Signer
	n := o.role(role).Keys
	for i := 1; i <= n; i++ {
		name := role
		if n > 1 {
			name = fmt.Sprintf("%s-%d", role, i)
		}
		path := filepath.Join(r.dir, keysDir, name+keySuffix)
		s, err := makeKey(r.disk, path, o.Passphrase, o.KDF, o.Random)
		if err != nil {
			return nil, fmt.Errorf("key for %s: %w", role, err)
		}
		signers = append(signers, s)
	}
	return signers, nil
}

// putVersion writes a signed document under its versioned name and returns its path below the repository.
func putVersion[T any](r *Repo, role string, version int64, d document[T]) (string, error) {
	b, err := encode(d)
	if err != nil {
		return "", err
	}
	return upload("metadata", fileName(role, version)), r.disk.writeOnce(r.path(role, version), b, publicMode)
}

// upload is the path of a file below the repository, with slashes.
func upload(part, name string) string { return part + "/" + name }
