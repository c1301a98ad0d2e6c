package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// day zero of each story.
func start() time.Time { return time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC) }

func days(n int) string { return start().AddDate(0, 0, n).Format(time.RFC3339) }

// A simulator is a repository as the suite's is: it keeps each version of each role that was published, numbers
// them by their place, and serves them over HTTP/1.0 below a path with percent-escapes.
type simulator struct {
	t    *testing.T
	base string // URL of the repository, with a slash behind it

	mu     sync.Mutex
	docs   map[string]tuftest.Object // what each role will say next
	by     map[string][]*tuftest.Key // who will sign it
	files  map[string][][]byte       // what was published; no entry: the server breaks off
	images map[string]*artifact
	hashes bool // timestamp and snapshot list hashes and lengths
	keys   int  // made so far

	asked       []string // metadata file names
	askedImages []string
	wrong       []string // requests that no client of TUF may make
}

// An artifact is a target file as served, under each hash of names.
type artifact struct {
	content []byte
	names   []string
}

func newSimulator(t *testing.T) *simulator {
	s := &simulator{t: t, docs: map[string]tuftest.Object{}, by: map[string][]*tuftest.Key{}, files: map[string][][]byte{},
		images: map[string]*artifact{}}
	s.docs["root"] = document("root", tuftest.Object{"consistent_snapshot": true,
		"keys": tuftest.Object{}, "roles": tuftest.Object{}})
	s.docs["timestamp"] = document("timestamp", tuftest.Object{"meta": tuftest.Object{}})
	s.docs["snapshot"] = document("snapshot", tuftest.Object{"meta": tuftest.Object{}})
	s.docs["targets"] = document("targets", tuftest.Object{"targets": tuftest.Object{}})
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		s.docs["root"]["roles"].(tuftest.Object)[role] = tuftest.Object{"keyids": []string{}, "threshold": 1}
		s.addKey(role)
	}
	s.publish("targets", "snapshot", "timestamp", "root")
	s.listen()
	return s
}

func document(kind string, rest tuftest.Object) tuftest.Object {
	rest["_type"], rest["spec_version"], rest["version"], rest["expires"] = kind, "1.0.31", 1, days(30)
	return rest
}

func (s *simulator) newKey() *tuftest.Key {
	s.keys++
	return tuftest.Ed25519(strconv.Itoa(s.keys))
}

func (s *simulator) grant(role string) tuftest.Object {
	return s.docs["root"]["roles"].(tuftest.Object)[role].(tuftest.Object)
}

// addKey lets a key, or a new one, sign a top-level role.
func (s *simulator) addKey(role string, keys ...*tuftest.Key) {
	if keys == nil {
		keys = append(keys, s.newKey())
	}
	s.listKeys(role, keys...)
	s.by[role] = append(s.by[role], keys...)
}

// listKeys names keys in the root without letting them sign.
func (s *simulator) listKeys(role string, keys ...*tuftest.Key) {
	for _, k := range keys {
		s.docs["root"]["keys"].(tuftest.Object)[k.ID] = k.Entry
		s.grant(role)["keyids"] = append(s.grant(role)["keyids"].([]string), k.ID)
	}
}

// clearKeys takes all keys from a top-level role.
func (s *simulator) clearKeys(role string) { s.by[role], s.grant(role)["keyids"] = nil, []string{} }

// rotate gives a top-level role one new key in place of the ones it has.
func (s *simulator) rotate(role string) {
	s.clearKeys(role)
	s.addKey(role)
}

func (s *simulator) version(role string) int { return s.docs[role]["version"].(int) }

func (s *simulator) listed(in, file string) tuftest.Object {
	return s.docs[in]["meta"].(tuftest.Object)[file].(tuftest.Object)
}

// delegate makes a delegated role with a key of its own.
func (s *simulator) delegate(from, role string, terminating bool, paths ...string) {
	doc := s.docs[from]
	if doc["delegations"] == nil {
		doc["delegations"] = tuftest.Object{"keys": tuftest.Object{}, "roles": []any{}}
	}
	d := doc["delegations"].(tuftest.Object)
	key := s.newKey()
	d["keys"].(tuftest.Object)[key.ID] = key.Entry
	d["roles"] = append(d["roles"].([]any), tuftest.Object{"name": role, "keyids": []string{key.ID}, "threshold": 1,
		"terminating": terminating, "paths": paths})
	s.by[role] = append(s.by[role], key)
	if s.docs[role] == nil {
		s.docs[role] = document("targets", tuftest.Object{"targets": tuftest.Object{}})
	}
}

// add lists a target with the hashes named, sha256 where none is.
func (s *simulator) add(role, path, content string, algorithms ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if algorithms == nil {
		algorithms = []string{"sha256"}
	}
	hashes, a := tuftest.Object{}, &artifact{content: []byte(content)}
	for _, name := range algorithms {
		sum := digest(name, content)
		hashes[name] = sum
		a.names = append(a.names, sum)
	}
	s.docs[role]["targets"].(tuftest.Object)[path] = tuftest.Object{"length": len(content), "hashes": hashes}
	s.images[path] = a
}

// publish signs new versions, the first one as it is. Targets roles are listed in the next snapshot, and that in
// the next timestamp.
func (s *simulator) publish(roles ...string) {
	for _, role := range roles {
		if s.files[role] != nil {
			s.docs[role]["version"] = s.version(role) + 1
		}
		var file bytes.Buffer
		if err := json.Indent(&file, tuftest.Sign(s.docs[role], s.by[role]...), "", " "); err != nil {
			s.t.Fatal(err)
		}
		s.put(role, append(s.files[role], file.Bytes()))
		meta := tuftest.Object{"version": s.version(role)}
		if s.hashes {
			sum := sha256.Sum256(file.Bytes())
			meta["length"], meta["hashes"] = file.Len(), tuftest.Object{"sha256": hex.EncodeToString(sum[:])}
		}
		switch role {
		case "root", "timestamp":
		case "snapshot":
			s.docs["timestamp"]["meta"].(tuftest.Object)["snapshot.json"] = meta
		default:
			s.docs["snapshot"]["meta"].(tuftest.Object)[role+".json"] = meta
		}
	}
}

func (s *simulator) put(role string, files [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[role] = files
}

// forget takes all versions of a role from the server. The next one published gets the number 1 there.
func (s *simulator) forget(role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, role)
}

// substitute serves other bytes for a target, and leaves the metadata as it is.
func (s *simulator) substitute(path, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[path].content = []byte(content)
}

// last is the newest file of a role.
func (s *simulator) last(role string) []byte { return s.files[role][len(s.files[role])-1] }

// tamper changes the newest file of a role.
func (s *simulator) tamper(role string, change func(file tuftest.Object)) {
	var file tuftest.Object
	d := json.NewDecoder(bytes.NewReader(s.last(role)))
	d.UseNumber()
	if err := d.Decode(&file); err != nil {
		s.t.Fatal(err)
	}
	change(file)
	b, err := json.Marshal(file)
	if err != nil {
		s.t.Fatal(err)
	}
	files := slices.Clone(s.files[role])
	files[len(files)-1] = b
	s.put(role, files)
}

// listen serves until the test ends.
func (s *simulator) listen() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serve(conn) })
		}
	})
	s.t.Cleanup(func() { l.Close(); serving.Wait() })
	name := strings.ReplaceAll(url.QueryEscape(s.t.Name()), "+", "%20")
	s.base = fmt.Sprintf("http://%s/%s/", l.Addr(), name)
}

// serve answers one request as Python's http.server does: HTTP/1.0, and a page of HTML for what is absent.
func (s *simulator) serve(conn net.Conn) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, answered := s.answer(r)
	switch {
	case !answered:
	case body == nil:
		page := "<!DOCTYPE HTML><html><body>not found</body></html>"
		fmt.Fprintf(conn, "HTTP/1.0 404 not found\r\nConnection: close\r\nContent-Type: text/html;charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
			len(page), page)
	default:
		fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nContent-length: %d\r\n\r\n%s", len(body), body)
	}
}

// answer yields nil for what is absent, and false where the server breaks off.
func (s *simulator) answer(r *http.Request) (body []byte, answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, inside := strings.CutPrefix("http://"+r.Host+r.RequestURI, s.base)
	if r.Method != http.MethodGet || r.Header.Get("Range") != "" || !inside {
		s.wrong = append(s.wrong, fmt.Sprintf("%s %s, range %q", r.Method, r.RequestURI, r.Header.Get("Range")))
		return nil, true
	}
	if name, ok := strings.CutPrefix(path, "targets/"); ok {
		s.askedImages = append(s.askedImages, name)
		return s.image(name), true
	}
	name := strings.TrimPrefix(path, "metadata/")
	s.asked = append(s.asked, name)
	role, version := s.split(strings.TrimSuffix(name, ".json"))
	files, ok := s.files[role]
	if version == 0 {
		version = len(files)
	}
	if version < 1 || version > len(files) {
		return nil, ok
	}
	return files[version-1], true
}

// split reads "3.root" or "timestamp"; version 0 is the newest.
func (s *simulator) split(name string) (role string, version int) {
	if number, rest, ok := strings.Cut(name, "."); ok {
		if n, err := strconv.Atoi(number); err == nil {
			name, version = rest, n
		}
	}
	role, err := url.PathUnescape(name)
	versioned := role == verifier.Root || role != verifier.Timestamp && s.docs["root"]["consistent_snapshot"] == true
	if err != nil || versioned != (version > 0) {
		return "", -1
	}
	return role, version
}

func (s *simulator) image(name string) []byte {
	i := strings.LastIndexByte(name, '/') + 1
	if a := s.images[name]; a != nil && s.docs["root"]["consistent_snapshot"] != true {
		return a.content
	}
	sum, base, _ := strings.Cut(name[i:], ".")
	path, err := url.PathUnescape(name[:i] + base)
	if a := s.images[path]; err == nil && a != nil && slices.Contains(a.names, sum) {
		return a.content
	}
	return nil
}

// metadataAsked returns the metadata requests since it was called last.
func (s *simulator) metadataAsked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}
