package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// fetch reads one metadata file of a repository. Both clients use it: what they are compared by is what they do with
// the bytes.
func fetch(repository, name string, bytesMax int64) ([]byte, error) {
	path := filepath.Join(repository, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > bytesMax {
		return nil, errTooLong
	}
	return os.ReadFile(path)
}

var errTooLong = errors.New("longer than asked for")

// answer is fetch as our verifier wants it.
func answer(repository string, r verifier.Request) verifier.Answer {
	return answerWith(fetch(repository, r.Name, r.BytesMax))
}

func answerWith(b []byte, err error) verifier.Answer {
	switch {
	case err == nil:
		return verifier.Bytes(b)
	case errors.Is(err, fs.ErrNotExist):
		return verifier.Absent()
	}
	return verifier.Failed(err)
}

// storeAnswer is what the agent's own store answers with.
func storeAnswer(b []byte, err error) verifier.Answer {
	if errors.Is(err, agent.ErrAbsent) {
		return verifier.Absent()
	}
	return answerWith(b, err)
}

// baseURL is what go-tuf puts in front of a file's name.
const baseURL = "http://repository/"

// A peerFetcher is fetch as go-tuf wants it.
type peerFetcher struct{ repository string }

func (f peerFetcher) DownloadFile(url string, bytesMax int64, _ time.Duration) ([]byte, error) {
	b, err := fetch(f.repository, strings.TrimPrefix(url, baseURL), bytesMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: 404, URL: url}
	}
	return b, err
}
