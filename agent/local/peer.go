package local

import (
	"errors"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A peer is a connection whose other end the kernel has named.
type peer struct {
	net.Conn
	uid        uint32
	mayCommand bool
	left       func() // once; nil for nobody to tell
	once       sync.Once
}

// peerUID asks the kernel who was at the other end when it connected.
func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// mayCommand: root may, and whoever could replace the agent's files anyway.
func mayCommand(uid uint32) bool { return uid == 0 || int64(uid) == int64(os.Geteuid()) }

func (p *peer) Close() error {
	if p.left != nil {
		p.once.Do(p.left)
	}
	return p.Conn.Close()
}
