package install

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// environBytesMax bounds what is read of a process' environment. The kernel allows more; a hook's mark is not there.
const environBytesMax = 1 << 20

// A procEntry is what /proc says about a process.
type procEntry struct {
	pid     int
	name    string
	state   byte // R, S, D, Z, …
	group   int
	session int
	start   string // when it was started, in the kernel's ticks: tells it from another one that got its ID
}

// ended is true for a zombie: it runs no more code and only waits to be reaped, maybe by somebody else.
func (p procEntry) ended() bool { return p.state == 'Z' || p.state == 'X' }

func (p procEntry) String() string { return fmt.Sprintf("%d (%s, state %c)", p.pid, p.name, p.state) }

// parseStat reads /proc/PID/stat. The name is in parentheses and may itself hold parentheses and spaces, so the
// last one counts.
func parseStat(b []byte) (procEntry, bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return procEntry{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:open])))
	fields := strings.Fields(string(b[end+1:])) // state ppid pgrp session …
	if err != nil || len(fields) < 4 || len(fields[0]) != 1 {
		return procEntry{}, false
	}
	p := procEntry{pid: pid, name: oneLine(string(b[open+1:end]), 32), state: fields[0][0]}
	var errGroup, errSession error
	p.group, errGroup = strconv.Atoi(fields[2])
	p.session, errSession = strconv.Atoi(fields[3])
	if len(fields) > 19 { // field 22 of proc(5)
		p.start = fields[19]
	}
	return p, errGroup == nil && errSession == nil
}

// readStat reads one process; ok is false where there is none.
func readStat(pid int) (procEntry, bool) {
	b, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return procEntry{}, false
	}
	return parseStat(b)
}

// same reports whether q is this very process, at whatever time.
func (p procEntry) same(q procEntry) bool { return p.pid == q.pid && p.start == q.start }

// gone reports whether this very process has ended.
func (p procEntry) gone() bool {
	now, ok := readStat(p.pid)
	return !ok || now.ended() || !p.same(now)
}

// readEnviron reads the environment a process was started with; empty for a zombie, a kernel thread, or a process
// of another user.
func readEnviron(pid int) []byte {
	f, err := os.Open(procFile(pid, "environ"))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, environBytesMax))
	if err != nil {
		return nil
	}
	return b
}

// processIDs lists the running processes.
func processIDs() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			ids = append(ids, pid)
		}
	}
	return ids, nil
}

func procFile(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }
