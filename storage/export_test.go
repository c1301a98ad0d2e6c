package storage

import (
	"strings"
	"syscall"
)

// Fill lets no byte of a large document's file find room from now on, or lets them again.
func (s *Store) Fill(full bool) {
	s.disk.hook = func(step step, do func() error) error {
		if full && step.op == opWrite && strings.HasPrefix(step.name, "meta/") {
			return syscall.ENOSPC
		}
		return do()
	}
}
