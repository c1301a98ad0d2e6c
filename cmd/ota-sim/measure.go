package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A tree is what a directory looks like from outside: one line of size, time and hash for each file.
type tree map[string]string

// readTree lists dir. Sockets and other special files are listed without a hash, and a file that goes away meanwhile
// is left out.
func readTree(dir string) (tree, error) {
	t := tree{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = t.add(dir, path, e)
		}
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil
		}
		return err
	})
	return t, err
}

func (t tree) add(dir, path string, e fs.DirEntry) error {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%s %s", info.Mode(), info.ModTime().Format("15:04:05.000000000"))
	if info.Mode().IsRegular() {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		line += fmt.Sprintf(" %d %x", len(b), sha256.Sum256(b))
	}
	t[name] = line
	return nil
}

// changes names the files that differ between two looks.
func (t tree) changes(later tree) []string {
	var names []string
	for name, was := range t {
		if is, ok := later[name]; !ok || is != was {
			names = append(names, name)
		}
	}
	for name := range later {
		if _, ok := t[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// hashFirst is the SHA-256 of a file's first n bytes, in hex: a slot may be longer than the image that it holds. A
// file that can't be read gives the error's text, which equals no hash.
func hashFirst(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.CopyN(h, f, n); err != nil {
		return fmt.Sprintf("%s: %v", path, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// short is the beginning of a hash, enough for people to tell hashes apart.
func short(hash string) string { return hash[:min(len(hash), 12)] }

// diskWrites is how many bytes a process caused to be written to storage, as the kernel counts them (proc_pid_io(5),
// write_bytes). ok is false where the kernel does not say.
func diskWrites(pid int) (n int64, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "write_bytes: "); found {
			n, err := strconv.ParseInt(value, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// sessionMembers lists the processes of a session (setsid(2)), from /proc. A hook in a process group of its own is
// still in the session of the agent that started it.
func sessionMembers(session int) []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name in parentheses may hold anything; the fields after it are state, ppid, pgrp, session.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 4 || fields[3] != strconv.Itoa(session) || fields[0] == "Z" {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
