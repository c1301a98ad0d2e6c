package storage

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// lockPoll is how often a held lock is tried again.
const lockPoll = 50 * time.Millisecond

// lock locks the directory itself, until unlock: its inode stays the same when files in it are set aside or replaced,
// and a reader needs no right to write. The kernel lets go of it when the process dies.
func lock(d *dir, shared bool, timeout time.Duration) error {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(lockPoll) {
		err := again(func() error { return unix.Flock(d.fd(), how|unix.LOCK_NB) })
		if err != unix.EWOULDBLOCK {
			return d.wrap("lock", "", err)
		}
		if !time.Now().Before(deadline) {
			return refuse(agent.ReasonLocked, "open %s: another process has locked %s: an agent (ask it through its socket, "+
				"or stop it first), or a command that reads it (let it end)", d.join(databaseName), d.path)
		}
	}
}

// Locked reports whether an agent has the store at path open, or begins to, or ends. It is no error where
// nothing can be told.
func Locked(path string) bool {
	d, err := openDir(&disk{}, path, false)
	if err != nil {
		return false
	}
	defer d.close()
	if err := again(func() error { return unix.Flock(d.fd(), unix.LOCK_SH|unix.LOCK_NB) }); err != nil {
		return err == unix.EWOULDBLOCK
	}
	_ = unlock(d) // its end would do
	return false
}

// unlock lets go of the directory by word, not by closing alone: a hook that is being started has a copy of d until
// its own code runs, and a lock ends with its last copy.
func unlock(d *dir) error {
	return d.wrap("unlock", "", again(func() error { return unix.Flock(d.fd(), unix.LOCK_UN) }))
}
