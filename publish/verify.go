package publish

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/strict"
)

// A Report is what Verify found.
type Report struct {
	// Versions of the roles that a device would trust now.
	Versions map[string]int64 `json:"versions"`
	// Images checked, and their bytes.
	Images int   `json:"images"`
	Bytes  int64 `json:"bytes"`
}

// Verify reads a repository's files as a device would, with the device's own verifier: from the anchor (a root.json)
// through the whole client workflow, then each listed image by length and hash. repository is the directory that holds
// metadata/ and targets/. It holds no lock and needs no key; a publisher may be at work.
func Verify(repository string, anchor []byte, now time.Time) (Report, error) {
	v := walk{
		dir: repository, store: map[verifier.Key][]byte{}, remote: map[string][]byte{verifier.Root: anchor},
		report: Report{Versions: map[string]int64{}},
	}
	// A targets file as long as any device's config accepts: Snapshot refuses what is too long for this publisher's.
	refresh, err := verifier.Begin(anchor, verifier.Floors{}, now, verifier.Limits{StatedBytes: 64 << 20})
	if err != nil {
		return Report{}, fmt.Errorf("trust anchor: %w", err)
	}
	if err := verifier.Drive(refresh, v.answer, v.commit); err != nil {
		return v.report, err
	}
	paths, err := v.targetPaths()
	if err != nil {
		return v.report, err
	}
	for _, p := range paths {
		if err := v.image(refresh, p); err != nil {
			return v.report, fmt.Errorf("%s: %w", p, err)
		}
	}
	return v.report, nil
}

// A walk is a device's visit: a store in memory, and the repository's files.
type walk struct {
	dir    string
	store  map[verifier.Key][]byte
	remote map[string][]byte // the newest file of each role, as it was answered
	report Report
}

func (w *walk) answer(q verifier.Request) verifier.Answer {
	if q.Source == verifier.Stored {
		b, ok := w.store[q.Key]
		if !ok {
			return verifier.Absent()
		}
		return verifier.Bytes(b)
	}
	name, err := url.PathUnescape(q.Name)
	if err != nil {
		return verifier.Failed(err)
	}
	if strings.ContainsAny(name, "/\\\x00") {
		return verifier.Failed(fmt.Errorf("%q is no file name", name))
	}
	b, err := readBounded(filepath.Join(w.dir, "metadata", name), q.BytesMax)
	if errors.Is(err, fs.ErrNotExist) {
		return verifier.Absent()
	}
	if err != nil {
		return verifier.Failed(err)
	}
	w.remote[q.Key.Role] = b
	return verifier.Bytes(b)
}

// readBounded reads one byte more than max at the most: the verifier refuses what is too long.
func readBounded(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	return b, errors.Join(err, f.Close())
}

func (w *walk) commit(c verifier.Change) error {
	for _, k := range c.Drop {
		delete(w.store, k)
	}
	for _, d := range c.Put {
		w.store[d.Key] = d.Bytes
	}
	return nil
}

// targetPaths lists what the accepted targets file lists, and notes the versions. It reads the file as any client
// does, so that repositories of other makers can be verified too.
func (w *walk) targetPaths() ([]string, error) {
	for role, b := range w.remote {
		d, err := strict.ParseDocument(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", role, err)
		}
		version, err := d.Signed.Field("version")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", role, err)
		}
		if w.report.Versions[role], err = version.Int(); err != nil {
			return nil, fmt.Errorf("%s: version: %w", role, err)
		}
	}
	d, err := strict.ParseDocument(w.remote[verifier.Targets])
	if err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	listed, err := d.Signed.Field("targets")
	if err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	var paths []string
	err = listed.Object(func(name []byte, _ strict.Value) error {
		paths = append(paths, string(name))
		return nil
	})
	slices.Sort(paths)
	return paths, err
}

// image checks one image's file, in constant memory.
func (w *walk) image(refresh *verifier.Refresh, targetPath string) (err error) {
	search := refresh.Find(targetPath)
	if err := verifier.Drive(search, w.answer, w.commit); err != nil {
		return err
	}
	found, err := search.Found()
	if err != nil {
		return err
	}
	if err := checkTargetPath(targetPath); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(w.dir, "targets", filepath.FromSlash(found.Target.Name)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	check := found.Target.Check()
	n, err := io.Copy(check, f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if _, err := check.Done(); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	w.report.Images++
	w.report.Bytes += n
	return nil
}
