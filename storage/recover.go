package storage

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// corruptMax is how many databases that were set aside are kept.
const corruptMax = 3

// openDatabase opens agent.db, makes it where there is none, and sets it aside where it can't be trusted. The
// agent then rebuilds from its trust anchor through the floors and observes what its hooks say.
func (s *Store) openDatabase(o Options) error {
	err := s.openExisting(o, false)
	if err == nil {
		err = s.compact(o)
	}
	if err == nil {
		return nil
	}
	lost := ""
	if errors.Is(err, errDamaged) {
		lost, err = s.setAside(err)
	} else if isAbsent(err) {
		lost, err = s.missing()
	}
	if err != nil {
		return err
	}
	err = s.orWithReserve(func() error { return createDatabase(s.dir, lost, o.LockTimeout, o.DatabaseBytesMax) })
	if err != nil {
		return err
	}
	return s.openExisting(o, false)
}

// missing is why a database that was here is not any more, or empty where there never was one. A crash or a full disk
// between setting it aside and having the new one leaves just this to see.
func (s *Store) missing() (string, error) {
	numbers, err := corruptNumbers(s.dir)
	if err != nil {
		return "", err
	}
	beside := floorsName
	if n := len(numbers); n > 0 {
		beside = corruptName(numbers[n-1])
	}
	if !s.dir.has(beside) {
		return "", nil
	}
	return s.lost("was missing beside " + beside), nil
}

// lost says what the loss of the database means. It is kept in the new one: only a commit can be sure that somebody
// has heard it.
func (s *Store) lost(how string) string {
	return oneLine(s.dir.join(databaseName) + " " + how + "; metadata is fetched again, records of components are lost")
}

// openExisting leaves s.db nil unless it returns nil. errDamaged: it is not to be used.
func (s *Store) openExisting(o Options, readOnly bool) error {
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := s.dir.open(databaseName, flag)
	if err != nil {
		return err
	}
	size, err := f.size()
	oneMeta := false
	if err == nil {
		oneMeta, err = checkPages(f, size)
	}
	if err != nil {
		f.Close()
		return err
	}
	db, err := openBolt(s.dir, f, readOnly, o.LockTimeout, o.DatabaseBytesMax)
	if err != nil {
		return err
	}
	if err := db.checkSchema(f.File.Name()); err != nil {
		db.close()
		return err
	}
	s.db = db
	if oneMeta {
		s.note("one of the two root pages of %s was damaged: its last commit may have been lost", s.dir.join(databaseName))
	}
	return nil
}

// setAside renames a damaged database, keeps the newest few of them, and says so.
func (s *Store) setAside(why error) (string, error) {
	numbers, err := corruptNumbers(s.dir)
	if err != nil {
		return "", err
	}
	next := 1
	if n := len(numbers); n > 0 {
		next = numbers[n-1] + 1
	}
	name := corruptName(next)
	if err := s.dir.rename(databaseName, s.dir, name); err != nil {
		return "", err
	}
	if err := s.dir.sync(); err != nil {
		return "", err
	}
	for len(numbers) >= corruptMax {
		if err := s.dir.remove(corruptName(numbers[0])); err != nil {
			return "", err
		}
		numbers = numbers[1:]
	}
	return s.lost("was damaged (" + why.Error() + ") and was set aside as " + name), nil
}

func corruptName(n int) string { return databaseName + ".corrupt-" + strconv.Itoa(n) }

// corruptNumbers are the N of the agent.db.corrupt-N that are there, rising.
func corruptNumbers(d *dir) ([]int, error) {
	entries, err := d.entries()
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), databaseName+".corrupt-")
		if n, err := strconv.Atoi(text); ok && err == nil && n > 0 && corruptName(n) == e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func ignoreDamaged(err error) error {
	if errors.Is(err, errDamaged) {
		return nil
	}
	return err
}

func ignoreNewer(err error) error {
	if errors.Is(err, errNewer) {
		return nil
	}
	return err
}

// note keeps a sentence for State.Recovered.
func (s *Store) note(format string, args ...any) {
	s.recovered = append(s.recovered, oneLine(fmt.Sprintf(format, args...)))
}
