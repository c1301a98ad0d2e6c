package fetch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/ota-agent/ota-agent/agent"
)

// What an agent and its aide say to each other: lines of JSON, and behind a line as many bytes as it announces.
const (
	// askBytesMax bounds an ask's line: three paths, in base64.
	askBytesMax = 32 << 10
	// replyBytesMax bounds a reply's line: the names of a directory, in base64.
	replyBytesMax = 64 << 10
	// readBytesMax is how much is read at once. At the lowest rate that is about what comes before a body
	// counts as silent.
	readBytesMax = 32 << 10
)

// The verbs of an ask.
const (
	aideList = "list" // the directories in Path
	aideLook = "look" // is there a repository below Path?
	aideOpen = "open" // the file Name below Path, instead of the one before it
	aideRead = "read" // Bytes bytes of it from At on
)

// An aideAsk is one request. Paths are bytes: a file system's names need be no text.
type aideAsk struct {
	Verb  string `json:"verb"`
	Path  []byte `json:"path,omitempty"`
	Below []byte `json:"below,omitempty"`
	Name  []byte `json:"name,omitempty"`
	At    int64  `json:"at,omitempty"`
	Bytes int    `json:"bytes,omitempty"`
}

// An aideReply is what came of it; Reason and Text are a Problem's.
type aideReply struct {
	Reason agent.Reason `json:"reason,omitempty"`
	Text   string       `json:"text,omitempty"`
	Absent bool         `json:"absent,omitempty"`
	Names  [][]byte     `json:"names,omitempty"`
	Size   int64        `json:"size,omitempty"`
	// Place changes when other files come to lie in the metadata directory; Digest names its timestamp.
	Place  string `json:"place,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Bytes follow the line.
	Bytes int `json:"bytes,omitempty"`
}

// ServeMedia is what an aide does: it looks at directories and reads files for the agent at the other end,
// until in ends or something is not as agreed. It may hang in the kernel, on a file system whose other side
// does not answer; that is what it is for.
func ServeMedia(in io.Reader, out io.Writer) error { return serveMedia(in, out, func(aideAsk) {}) }

// serveMedia calls before, which a test hangs in, before it looks.
func serveMedia(in io.Reader, out io.Writer, before func(aideAsk)) error {
	var w aideWork
	defer w.close()
	lines := bufio.NewReaderSize(in, askBytesMax)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return nil
		}
		var q aideAsk
		if err == nil {
			err = json.Unmarshal(line, &q)
		}
		if err != nil {
			return fmt.Errorf("read what the agent asks: %w", err)
		}
		before(q)
		reply, data := w.do(q)
		reply.Bytes = len(data)
		text, err := json.Marshal(reply)
		if err != nil {
			return fmt.Errorf("answer the agent: %w", err)
		}
		if _, err := out.Write(append(append(text, '\n'), data...)); err != nil {
			return fmt.Errorf("answer the agent: %w", err)
		}
	}
}

// An aideWork is the file that is open.
type aideWork struct {
	dir  directory
	file *os.File
	name string
}

func (w *aideWork) do(q aideAsk) (aideReply, []byte) {
	d := directory{path: string(q.Path), below: string(q.Below)}
	var r aideReply
	var data []byte
	var err error
	switch q.Verb {
	case aideList:
		r.Names, err = listDirs(d.path)
	case aideLook:
		r.Place, r.Digest, err = d.look()
	case aideOpen:
		w.close()
		w.dir, w.name = d, string(q.Name)
		w.file, r.Size, err = d.open(w.name)
	case aideRead:
		data, err = w.read(q.At, min(q.Bytes, readBytesMax))
	default:
		err = errors.New("unknown verb")
	}
	if errors.Is(err, agent.ErrAbsent) {
		r.Absent, r.Text = true, err.Error()
	} else if p, ok := errors.AsType[*agent.Problem](err); ok {
		r.Reason, r.Text = p.Reason, p.Text
	} else if err != nil {
		r.Reason, r.Text = agent.ReasonBadAnswer, scrub(err.Error())
	}
	return r, data
}

// read looks after the directory when the file ends: a medium that was pulled may show as a short file. A
// file that ended is closed: an open one would keep its medium from being unmounted.
func (w *aideWork) read(at int64, bytes int) ([]byte, error) {
	if w.file == nil || bytes <= 0 {
		return nil, errors.New("no file is open")
	}
	data := make([]byte, bytes)
	n, err := w.file.ReadAt(data, at)
	if n > 0 {
		return data[:n], nil
	}
	defer w.close()
	if err == io.EOF {
		return nil, w.dir.check()
	}
	return nil, w.dir.broken(w.dir.fileName(w.name), err)
}

func (w *aideWork) close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

// listDirs lists directories, links to them not among them.
func listDirs(path string) (names [][]byte, err error) {
	d, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(mediaEntriesMax)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, []byte(e.Name()))
		}
	}
	if err == io.EOF {
		err = nil
	}
	return names, err
}

// digestBytesMax bounds what is read of a timestamp, which has 2 KiB, to tell one medium from another.
const digestBytesMax = 64 << 10

// look finds the repository in d: metadata and targets must both be there.
func (d *directory) look() (place, digest string, err error) {
	metadata := directory{path: d.path, below: joinBelow(d.below, "metadata")}
	targets := directory{path: d.path, below: joinBelow(d.below, "targets")}
	info, err := metadata.stat()
	if err != nil {
		return "", "", err
	}
	if _, err := targets.stat(); err != nil {
		return "", "", err
	}
	place = fmt.Sprint(info.ModTime().UnixNano())
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		place = fmt.Sprint(place, " ", s.Dev, " ", s.Ino)
	}
	f, _, err := metadata.open("timestamp.json")
	if err != nil {
		return place, "", nil // images may lie there all the same
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(f, digestBytesMax)); err != nil {
		return place, "", nil
	}
	sum := sha256.Sum256(b.Bytes())
	return place, hex.EncodeToString(sum[:]), nil
}
