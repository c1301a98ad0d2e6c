package storage

import (
	"fmt"
	"runtime/debug"
)

// guard runs f, which reads or writes the mapped database, and makes an error of what bbolt panics at and of
// the faults that the kernel raises where a mapped page can't be read. f must stay in its goroutine: that is as
// far as the guard reaches, which is why checkPages comes before bbolt's own goroutines see a file.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("database: %v: %w", r, errDamaged)
		}
	}()
	return f()
}
