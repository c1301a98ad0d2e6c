package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An Image is an image file as it lies in the repository.
type Image struct {
	// Path is the target path by which devices ask for it.
	Path string
	// Name is the file's path below the targets directory: the last segment carries the hash (TUF 6.2).
	Name string
	// SHA256 in hex; Length in bytes.
	SHA256 string
	Length int64
}

// hashedName is where the file of a target path lies under consistent snapshots: dir/HASH.NAME.
func hashedName(targetPath, sha256Hex string) string {
	dir, base := path.Split(targetPath)
	return dir + sha256Hex + "." + base
}

// putImage streams an image to its place, hashing it on the way: constant memory, one pass. It is copied and not
// linked: a build that writes its output in place must not change a published image.
func (r *Repo) putImage(targetPath string, from io.Reader) (Image, error) {
	dir := filepath.Join(TargetsDir(r.dir), filepath.FromSlash(path.Dir(targetPath)))
	if err := r.disk.mkdirAll(dir, dirMode); err != nil {
		return Image{}, err
	}
	hash := sha256.New()
	var length int64
	temp, err := r.disk.fill(dir, publicMode, func(w io.Writer) (err error) {
		length, err = io.Copy(io.MultiWriter(w, hash), from)
		return err
	})
	if err != nil {
		return Image{}, fmt.Errorf("copy the image of %s: %w", targetPath, err)
	}
	if length == 0 {
		return Image{}, errors.Join(
			fmt.Errorf("the image of %s is empty: expected at least one byte", targetPath), r.disk.removeTemp(temp))
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	i := Image{Path: targetPath, Name: hashedName(targetPath, sum), SHA256: sum, Length: length}
	if err := r.disk.rename(temp, filepath.Join(TargetsDir(r.dir), filepath.FromSlash(i.Name))); err != nil {
		return Image{}, errors.Join(err, r.disk.removeTemp(temp))
	}
	return i, nil
}

// newImages lists the image files that next refers to and last does not, sorted.
func newImages(last, next map[string]targetFile) []string {
	var names []string
	for targetPath, f := range next {
		if last[targetPath].Hashes != f.Hashes {
			names = append(names, upload("targets", hashedName(targetPath, f.Hashes.SHA256)))
		}
	}
	slices.Sort(names)
	return names
}

const (
	targetPathBytesMax = 1024
	// segmentBytesMax leaves room for "HASH." in a file name of 255 bytes.
	segmentBytesMax = 255 - 65
)

// ErrTargetPath: the text can't be a target path.
var ErrTargetPath = errors.New("not a target path")

// checkTargetPath admits what every client and every file system reads alike: segments with slashes between them, no
// leading slash, no empty segment, no "." or "..", no control characters, no backslash, valid UTF-8.
func checkTargetPath(p string) error {
	refuse := func(want string) error { return fmt.Errorf("%q: %w: %s", p, ErrTargetPath, want) }
	if len(p) == 0 || len(p) > targetPathBytesMax {
		return refuse(fmt.Sprintf("expected 1 to %d bytes", targetPathBytesMax))
	}
	if !validText(p) {
		return refuse("expected UTF-8 without control characters and backslashes")
	}
	for _, segment := range strings.Split(p, "/") {
		switch {
		case segment == "":
			return refuse("expected no slash at an end and no two in a row")
		case segment == "." || segment == "..":
			return refuse("expected no segment that is . or ..")
		case strings.HasPrefix(segment, tempPrefix):
			return refuse("expected no segment that begins with " + tempPrefix)
		case len(segment) > segmentBytesMax:
			return refuse(fmt.Sprintf("expected segments of at most %d bytes", segmentBytesMax))
		}
	}
	return nil
}
