package verifier_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// An updater is what a program has around the verifier: a store, which may be a directory, and an HTTP client that reads at most
// the bytes it is told to.
type updater struct {
	anchor []byte // root.json, shipped with the program
	floors verifier.Floors
	answer func(verifier.Request) verifier.Answer // from the store or from the repository, as the request says
	commit func(verifier.Change) error            // makes a change durable
	get    func(name string) io.Reader            // downloads an image
}

// update finds out what this machine should run, and checks the bytes as they stream into w. Only when it returns no
// error may they be used.
func (u updater) update(path string, now time.Time, w io.Writer) (verifier.Verified, error) {
	refresh, err := verifier.Begin(u.anchor, u.floors, now, verifier.Limits{})
	if err != nil {
		return verifier.Verified{}, fmt.Errorf("trust anchor: %w", err)
	}
	if err := verifier.Drive(refresh, u.answer, u.commit); err != nil {
		return verifier.Verified{}, fmt.Errorf("refresh: %w", err)
	}
	search := refresh.Find(path)
	if err := verifier.Drive(search, u.answer, u.commit); err != nil {
		return verifier.Verified{}, fmt.Errorf("search: %w", err)
	}
	found, err := search.Found()
	if err != nil {
		return verifier.Verified{}, fmt.Errorf("nothing for this machine: %w", err)
	}
	check := found.Target.Check()
	if _, err := io.Copy(io.MultiWriter(w, check), u.get(found.Target.Name)); err != nil {
		return verifier.Verified{}, fmt.Errorf("download: %w", err)
	}
	return check.Done() // an error here: not what was signed
}

// A program that updates itself. The repository and the store are in memory; what they answer with is as untrusted as a
// server's.
func Example() {
	repo, store := tuftest.New(), tuftest.NewStore()
	repo.Targets().Add("tool/linux-arm64", []byte("new version"))
	u := updater{
		anchor: repo.Anchor(),
		floors: store.Floors,
		answer: func(q verifier.Request) verifier.Answer {
			if q.Source == verifier.Stored {
				return store.Answer(q.Key) // verifier.Bytes, verifier.Absent or verifier.Failed
			}
			return repo.Answer(q.Name)
		},
		commit: store.Commit,
		get:    func(string) io.Reader { return strings.NewReader("new version") },
	}

	var file bytes.Buffer
	verified, err := u.update("tool/linux-arm64", tuftest.Start(), &file)
	fmt.Printf("%s, verified: %v, error: %v\n", &file, verified.OK(), err)

	// Output: new version, verified: true, error: <nil>
}
