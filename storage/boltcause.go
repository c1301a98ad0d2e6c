package storage

import (
	"io"
	"log"
	"sync"

	"go.etcd.io/bbolt"
)

// boltCauses listens to what bbolt logs, for the sake of errors: where a database can't grow, bbolt returns only the text
// of what the kernel said, but hands the error itself to its logger. Nothing is logged.
type boltCauses struct {
	*bbolt.DefaultLogger

	mu    sync.Mutex
	first error // since the transaction began: later ones only describe it again
}

func newBoltCauses() *boltCauses {
	return &boltCauses{DefaultLogger: &bbolt.DefaultLogger{Logger: log.New(io.Discard, "", 0)}}
}

// Errorf is bbolt's only way to name an error.
func (c *boltCauses) Errorf(_ string, values ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range values {
		if err, ok := v.(error); ok && c.first == nil {
			c.first = err
		}
	}
}

// behind runs a transaction, and puts behind its error what bbolt logged meanwhile. The text stays as it is: it holds
// the cause's.
func (c *boltCauses) behind(transaction func() error) error {
	c.take()
	err := transaction()
	if cause := c.take(); err != nil && cause != nil {
		return &causedError{err, cause}
	}
	return err
}

func (c *boltCauses) take() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.first
	c.first = nil
	return err
}

// A causedError is an error of which only the text knew its cause.
type causedError struct {
	error
	cause error
}

func (e *causedError) Unwrap() []error { return []error{e.error, e.cause} }
