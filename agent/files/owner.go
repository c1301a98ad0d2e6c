package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// A Place is one step on the way to a file: a directory above it, a link, or the file itself.
type Place struct {
	Path     string
	UID, GID uint32
	Mode     fs.FileMode
}

// A User is whose process judges.
type User struct{ UID, GID uint32 }

// Me is the user of this process.
func Me() User { return User{uint32(os.Geteuid()), uint32(os.Getegid())} }

// A Guard says what a file must keep from others beside being changed by them.
type Guard int

const (
	// Unchanged: nobody else may change it.
	Unchanged Guard = iota
	// Secret: nor may others read it.
	Secret
	// Sticky: a directory in which others may make files, if they can't rename its owner's.
	Sticky
)

// An OwnerError says that somebody else could change a file, or could read a secret.
type OwnerError struct {
	// File is what was asked about, Place is where the fault is: the file, or a step on the way to it.
	File  string
	Place Place
	// Why is the fault in words, and Mend the command that mends it.
	Why, Mend string
}

func (e *OwnerError) Error() string {
	where := e.Place.Path
	if where != e.File {
		where += ", which leads to " + e.File + ","
	}
	return fmt.Sprintf("%s %s: its owner is user %d, its group %d, its mode %s; run: %s", where, e.Why, e.Place.UID, e.Place.GID,
		modeWords(e.Place.Mode), e.Mend)
}

// CheckOwners refuses a file that somebody but root and this user could change, rename or replace
// (*OwnerError), by its own owner and mode or by those of a directory or link that leads to it. Of a file
// that is not there it judges the way to it.
func CheckOwners(path string, guard Guard) error {
	way, err := FindWay(path)
	if err != nil {
		return err
	}
	if wrong := way.Judge(Me(), guard); wrong != nil {
		return wrong
	}
	return nil
}

// A Way is the steps from the root to a file, each link with the steps of where it leads.
type Way struct {
	File  string
	Steps []Place
	// Whole: the last step is the file. Otherwise nothing is there, or this user may not look any further.
	Whole bool
}

// Judge is the rule of CheckOwners; nil where all is well. As in sshd's StrictModes, each step must belong to
// root or to the user, and nobody else may write there; in a directory above the file others may where it is
// sticky, since they can't rename what is not theirs. A group may write only if it is the user's own and the
// user is not root.
func (w Way) Judge(user User, guard Guard) *OwnerError {
	for i, p := range w.Steps {
		last := w.Whole && i == len(w.Steps)-1
		others := fs.FileMode(0o022)
		if p.GID == user.GID && user.UID != 0 {
			others = 0o002
		}
		sticky := p.Mode.IsDir() && p.Mode&fs.ModeSticky != 0 && (!last || guard == Sticky)
		wrong := &OwnerError{File: w.File, Place: p}
		switch {
		case p.UID != 0 && p.UID != user.UID:
			wrong.Why, wrong.Mend = "may be changed by its owner", fmt.Sprintf("chown -h %d %s", user.UID, quote(p.Path))
		case p.Mode.Type() == fs.ModeSymlink: // its mode means nothing
			continue
		case p.Mode&others != 0 && !sticky:
			wrong.Why, wrong.Mend = "may be changed by others", "chmod "+takeAway(p.Mode&others, "w")+" "+quote(p.Path)
		case last && guard == Secret && p.Mode&0o004 != 0:
			wrong.Why, wrong.Mend = "is secret and may be read by everybody", "chmod o-r "+quote(p.Path)
		default:
			continue
		}
		return wrong
	}
	return nil
}

// takeAway names in chmod's words who loses a right.
func takeAway(bits fs.FileMode, right string) string {
	who := ""
	if bits&0o070 != 0 {
		who += "g"
	}
	if bits&0o007 != 0 {
		who += "o"
	}
	return who + "-" + right
}

// modeWords is a mode as chmod takes it and as ls shows it.
func modeWords(m fs.FileMode) string {
	octal := uint32(m.Perm())
	if m&fs.ModeSticky != 0 {
		octal |= 0o1000
	}
	return fmt.Sprintf("%04o", octal)
}

// quote is a path as a word for a shell.
func quote(path string) string {
	plain := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,", r))
	}
	if !strings.ContainsFunc(path, plain) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

const (
	// linksMax bounds the links on the way to a file, as the kernel does.
	linksMax = 40
	// stepsMax bounds the steps.
	stepsMax = 1024
)

// FindWay looks at each step from the root to an absolute path, as the kernel would go.
func FindWay(path string) (Way, error) {
	way := Way{File: filepath.Clean(path)}
	if !filepath.IsAbs(path) {
		return way, &fs.PathError{Op: "follow", Path: path, Err: fs.ErrInvalid}
	}
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(way.Steps) < stepsMax {
		next := at
		if len(way.Steps) > 0 { // the first step is the root
			if len(rest) == 0 {
				way.Whole = true
				return way, nil
			}
			switch name := rest[0]; name {
			case "..":
				at, rest = filepath.Dir(at), rest[1:] // at holds no link, and was looked at
				continue
			case "", ".":
				rest = rest[1:]
				continue
			default:
				next, rest = filepath.Join(at, name), rest[1:]
			}
		}
		p, err := place(next)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrPermission):
			return way, nil
		case err != nil:
			return way, err
		}
		way.Steps = append(way.Steps, p)
		if p.Mode.Type() != fs.ModeSymlink {
			at = next
			continue
		}
		if links++; links > linksMax {
			break
		}
		target, err := os.Readlink(next)
		if err != nil {
			return way, err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return way, &fs.PathError{Op: "follow", Path: path, Err: syscall.ELOOP}
}

func place(path string) (Place, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Place{}, err
	}
	p := Place{Path: path, Mode: info.Mode()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		p.UID, p.GID = stat.Uid, stat.Gid
	}
	return p, nil
}
