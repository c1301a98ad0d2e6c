package storage

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// Astray says that the store's path no longer leads to the directory that is open, or returns nil. A
// partition that was mounted over it late hides what is written here: whoever looks at the path finds another
// state, and after a reboot so does the agent. The process must end and open what is there now. An error of
// the look itself is no answer, and no reason to end.
func (s *Store) Astray() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == nil {
		return nil
	}
	return s.dir.astray()
}

// astray is Astray for the state directory itself.
func (d *dir) astray() error {
	var there, open unix.Stat_t
	if err := again(func() error { return unix.Fstat(d.fd(), &open) }); err != nil {
		return nil
	}
	err := again(func() error { return unix.Stat(d.path, &there) })
	switch {
	case isAbsent(err):
		return refuse(agent.ReasonStore, "the state directory %s is gone while the agent runs: what it was on was unmounted, or it was moved or "+
			"removed; the agent starts again", d.path)
	case err == nil && (there.Dev != open.Dev || there.Ino != open.Ino):
		return refuse(agent.ReasonStore, "another directory lies at %s than the one that the agent opened: a partition was mounted over it late; "+
			"the agent starts again with what is there now (order it after the mount: RequiresMountsFor= in its unit)", d.path)
	}
	return nil
}

// dangling says that path is a symbolic link to nothing, or returns nil.
func dangling(path string) error {
	target, err := os.Readlink(path)
	if err != nil {
		return nil
	}
	return refuse(agent.ReasonStore, "%s is a symbolic link to %s, which is not there: mount the partition that holds it, make that directory, or "+
		"correct the link", path, target)
}
