package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// ErrInUse says that another process listens on the socket.
var ErrInUse = errors.New("another process listens on the socket")

const (
	// socketMode lets the agent's user and group connect.
	socketMode = 0o660
	// socketPathMax is what fits a Unix address, less the suffix of the temporary name.
	socketPathMax = 107 - len(temporarySuffix)

	temporarySuffix = "~"
	// guestsMax bounds the connections of callers that may only look, all together: they can't keep root out.
	guestsMax = 16
)

// CheckSocketPath tells whether path can be the name of a socket.
func CheckSocketPath(path string) error {
	if len(path) > socketPathMax {
		return fmt.Errorf("want at most %d bytes, since the kernel takes no longer socket paths; got %d", socketPathMax, len(path))
	}
	return nil
}

// Listen makes the socket at path, and its directory if need be. A socket that a dead process left there is
// replaced; one that somebody listens on (ErrInUse) and a file that is no socket are not. The new socket appears
// under its name with its mode, and ready. Only one agent may call it at a time: hold the store's lock.
func Listen(path string) (net.Listener, error) {
	if err := CheckSocketPath(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	if err := checkReplaceable(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	temporary := path + temporarySuffix
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove an unfinished socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // its name changes
	if err := errors.Join(os.Chmod(temporary, socketMode), os.Rename(temporary, path)); err != nil {
		l.Close()
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	return &listener{UnixListener: l, path: path, mayCommand: mayCommand}, nil
}

func checkReplaceable(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("there is a file that is not a socket (%s): move it away or configure another path", info.Mode())
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return ErrInUse
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// A listener learns who connects, and keeps the number of guests small. It removes its socket when it is closed.
type listener struct {
	*net.UnixListener
	path       string
	mayCommand func(uid uint32) bool
	guests     atomic.Int64
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c)
		if err != nil {
			c.Close() // who can't be named is not let in
			continue
		}
		p := &peer{Conn: c, uid: uid, mayCommand: l.mayCommand(uid)}
		if p.mayCommand {
			return p, nil
		}
		if l.guests.Add(1) > guestsMax {
			l.guests.Add(-1)
			c.Close()
			continue
		}
		p.left = func() { l.guests.Add(-1) }
		return p, nil
	}
}

func (l *listener) Close() error {
	return errors.Join(os.Remove(l.path), l.UnixListener.Close())
}
