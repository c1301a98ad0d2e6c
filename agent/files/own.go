package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// temporarySuffix ends the name under which WriteOwn writes.
const temporarySuffix = "~"

// ErrForeign says that a file belongs to somebody else, or that others may write to it.
var ErrForeign = errors.New("somebody else may have written it")

// ReadOwn reads what an earlier process of this user wrote by WriteOwn, at most bytesMax bytes. What somebody
// else may have put in its place is refused (ErrForeign, ErrNotRegular, ErrElsewhere).
func ReadOwn(path string, bytesMax int64) ([]byte, error) {
	dir, err := OpenDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := openPlaced(dir, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stat, err := regular(f)
	switch {
	case err != nil:
		return nil, err
	case stat.Nlink > 1:
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrElsewhere}
	case stat.Uid != 0 && stat.Uid != Me().UID, stat.Mode&0o022 != 0:
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrForeign}
	}
	return bounded(f, bytesMax)
}

// WriteOwn writes a small file that this user alone may read. It appears whole under its name, and follows no
// link that lies there. It is not synced: such files lie in memory.
func WriteOwn(path string, text []byte) error {
	temporary := path + temporarySuffix
	// A process that died may have left one. O_EXCL: a name that someone else put there is not followed.
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}
