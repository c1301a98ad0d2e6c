package verifier_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A program that updates itself asks for what it should run, and checks the bytes as they stream by. The repository and
// the store are stand-ins: get would be an HTTP client that reads at most q.BytesMax bytes, store a directory.
func Example() {
	repo, store, download := exampleRepository()

	answer := func(q verifier.Request) verifier.Answer {
		if q.Source == verifier.Stored {
			return store.Answer(q.Key) // verifier.Bytes, verifier.Absent or verifier.Failed
		}
		return repo.Answer(q.Name)
	}
	anchor := repo.Anchor()                           // shipped with the program
	now := tuftest.Start()                            // time.Now()
	floors, limits := store.Floors, verifier.Limits{} // limits: the defaults

	refresh, err := verifier.Begin(anchor, floors, now, limits)
	if err != nil {
		fmt.Println("the anchor is no good:", err)
		return
	}
	if err := verifier.Drive(refresh, answer, store.Commit); err != nil {
		fmt.Println("refresh:", err)
		return
	}
	search := refresh.Find("tool/linux-arm64")
	if err := verifier.Drive(search, answer, store.Commit); err != nil {
		fmt.Println("search:", err)
		return
	}
	found, err := search.Found()
	if err != nil {
		fmt.Println("nothing for this machine:", err)
		return
	}
	check := found.Target.Check()
	if _, err := io.Copy(check, download(found.Target.Name)); err != nil {
		fmt.Println("download:", err)
		return
	}
	verified, err := check.Done()
	if err != nil {
		fmt.Println("not what was signed:", err)
		return
	}
	fmt.Printf("%s, %d bytes, verified: %v\n", found.Target.Path, found.Target.Length, verified.OK())

	// Output: tool/linux-arm64, 11 bytes, verified: true
}

func exampleRepository() (*tuftest.Repository, *tuftest.Store, func(string) io.Reader) {
	repo := tuftest.New()
	repo.Targets().Add("tool/linux-arm64", []byte("new version"))
	return repo, tuftest.NewStore(), func(string) io.Reader { return strings.NewReader("new version") }
}
