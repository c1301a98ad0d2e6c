package storage

import (
	"os"
	"time"

	"go.etcd.io/bbolt"
)

const databaseName = "agent.db"

// The buckets. Unknown ones are a newer agent's and left alone.
const (
	bucketStore    = "store"    // what it is and who can read it
	bucketMetadata = "metadata" // documents by role, but for roots
	bucketChain    = "chain"    // roots by version
	bucketReceipts = "receipts"
	bucketRecords  = "records" // by component; frozen core
	bucketTime     = "time"
	bucketDevice   = "device"
	bucketFloors   = "floors"  // a second copy of the floors file's record, for when that is lost
	bucketDamaged  = "damaged" // records as they were found, by component, for whoever wants to know why
)

func bucketNames() []string {
	return []string{bucketStore, bucketMetadata, bucketChain, bucketReceipts, bucketRecords, bucketTime,
		bucketDevice, bucketFloors, bucketDamaged}
}

// The keys of buckets that hold one value.
const (
	keySchema = "schema"
	keyCount  = "count" // of the values in all other buckets: a page that lost its last elements has no other sign
	keyFloor  = "floor"
	keyState  = "state"
	keyCopy   = "copy"
	// keyLost, beside the schema, says what became of the database before this one, until the next commit.
	keyLost = "lost"
	// keyAnchor, there too and as long, says that the floors were lost with every copy of them.
	keyAnchor = "anchor"
	// keyNew, there too and for good, says that this database began where there was neither another one nor floors.
	keyNew = "new"
)

// A database is bbolt's, with its file held so that it can be closed after a panic, and its writes counted. One
// goroutine uses it at a time.
type database struct {
	disk *disk
	file *file
	bolt *bbolt.DB
	size int64
	// causes are of failures that bbolt only describes.
	causes *boltCauses
	// settled: what the newest root page says is known to be durable (settle).
	settled bool
	// dead is what bbolt panicked at. It holds its locks then, and would wait for them for ever.
	dead error
}

// openBolt opens a checked file. timeout bounds the wait for bbolt's own lock.
func openBolt(d *dir, f *file, readOnly bool, timeout time.Duration, bytesMax int64) (*database, error) {
	size, err := f.size()
	if err != nil {
		return nil, err
	}
	db := &database{disk: d.disk, file: f, size: size, causes: newBoltCauses()}
	err = guard(func() (err error) {
		db.bolt, err = bbolt.Open(f.File.Name(), 0o600, &bbolt.Options{
			Timeout:  timeout,
			ReadOnly: readOnly,
			// One page less in each commit. The list is rebuilt at start, from a file that is small.
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
			PageSize:       pageSize,
			MaxSize:        int(bytesMax),
			Logger:         db.causes,
			OpenFile:       func(string, int, os.FileMode) (*os.File, error) { return f.File, nil },
		})
		return err
	})
	if err != nil {
		// Closing twice does no harm; after a panic bbolt has not closed it, and so not unlocked it.
		f.Close()
		return nil, err
	}
	return db, nil
}

// createDatabase makes a new database under a temporary name, whole and durable, and gives it its name then:
// bbolt's own first writes are not safe against a power cut. It is not open afterwards. lost is why there was need of
// it, or empty where nothing was there before.
func createDatabase(d *dir, lost string, timeout time.Duration, bytesMax int64) error {
	temp := databaseName + tempSuffix
	if err := d.remove(temp); err != nil {
		return err
	}
	f, err := d.create(temp)
	if err != nil {
		return err
	}
	db, err := openBolt(d, f, false, timeout, bytesMax)
	if err != nil {
		return err
	}
	defer db.close()
	d.disk.bytesWritten.Add(4 * pageSize) // what bbolt begins a file with
	d.disk.fsyncs.Add(1)
	if err := db.update(func(tx *bbolt.Tx) error { return putSchema(tx, lost) }); err != nil {
		return err
	}
	if err := f.sync(); err != nil {
		return err
	}
	if err := d.rename(temp, d, databaseName); err != nil {
		return err
	}
	return d.sync()
}

// view reads in one transaction. f copies what it keeps.
func (db *database) view(f func(tx *bbolt.Tx) error) error {
	return db.alive(func() error { return db.bolt.View(f) })
}

// alive runs a transaction, and none after one that panicked.
func (db *database) alive(transaction func() error) error {
	if db.dead != nil {
		return db.dead
	}
	ended := false
	err := guard(func() error {
		err := transaction()
		ended = true
		return err
	})
	if !ended {
		db.dead = err
	}
	return err
}

// update is one transaction: f's changes become durable together, or none does.
func (db *database) update(f func(tx *bbolt.Tx) error) error {
	return db.counted(func() error { return db.bolt.Update(f) })
}

// counted runs commit, which makes one transaction, and counts what that wrote. One that failed may have
// written its root page.
func (db *database) counted(commit func() error) error {
	before := db.bolt.Stats().TxStats
	err := db.disk.do(opCommit, db.file.name, func() error {
		return db.causes.behind(func() error { return db.alive(commit) })
	})
	db.settled = db.settled && err == nil
	after := db.bolt.Stats().TxStats
	// bbolt writes each page it allocated, syncs, writes one meta page and syncs again.
	db.disk.bytesWritten.Add(after.GetPageAlloc() - before.GetPageAlloc() + pageSize)
	db.disk.fsyncs.Add(2)
	if info, serr := db.file.Stat(); serr == nil && info.Size() != db.size {
		db.size = info.Size()
		db.disk.fsyncs.Add(1) // of the new size, before anything is written there
	}
	if err == nil {
		db.disk.commits.Add(1)
	}
	return err
}

func (db *database) close() error {
	var err error
	if db.dead == nil {
		err = guard(db.bolt.Close)
	}
	// Where bbolt panicked, its lock is still on the file; else this finds the file closed.
	_ = db.file.Close()
	return err
}
