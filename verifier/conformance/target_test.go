package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The suite's test_file_download.py, and what rows G and K demand of target files beyond it.

// newServing is a scene with one target published.
func newServing(t *testing.T, path, content string, hashes ...string) (*simulator, *device) {
	t.Helper()
	s, d := newTrusting(t)
	s.add("targets", path, content, hashes...)
	s.publish("targets", "snapshot", "timestamp")
	return s, d
}

func TestDownload(t *testing.T) {
	_, d := newServing(t, "target_file.txt", "target file contents")
	d.refresh(0)
	d.wantGot()
	d.download(0, "target_file.txt")
	d.wantGot("target file contents")
	d.wantImagesAsked(digest("sha256", "target file contents") + ".target_file.txt")
}

func TestDownloadFromASubdirectory(t *testing.T) {
	_, d := newServing(t, "path/to/a/target_file.txt", "target file contents")
	d.download(0, "path/to/a/target_file.txt")
	d.wantGot("target file contents")
	d.wantImagesAsked("path/to/a/" + digest("sha256", "target file contents") + ".target_file.txt")
}

func TestRepositorySubstitutesTargets(t *testing.T) {
	s, d := newTrusting(t)
	s.add("targets", "target_file.txt", "target file contents")
	s.add("targets", "another_target_file.txt", "content")
	s.publish("targets", "snapshot", "timestamp")
	d.download(0, "target_file.txt")
	s.substitute("target_file.txt", "malicious data")
	s.substitute("another_target_file.txt", "malicio") // as long as it should be
	d.download(0, "target_file.txt")                   // the right one is there
	d.wantGot("target file contents")
	d.download(1, "another_target_file.txt")
	d.wantGot("target file contents")
}

func TestTargetChangesManyTimes(t *testing.T) {
	s, d := newServing(t, "target_file.txt", "target file contents")
	d.download(0, "target_file.txt")
	var others []string
	for i := range 11 {
		changed, added := fmt.Sprint("modified file contents ", i), fmt.Sprint("new-target-", i)
		s.add("targets", "target_file.txt", changed)
		s.add("targets", added, added)
		s.publish("targets", "snapshot", "timestamp")
		if i%5 != 0 {
			continue // not every version is seen
		}
		d.download(0, "target_file.txt")
		d.wantGot(append(others, changed)...)
		d.download(0, added)
		d.wantGot(append(others, changed, added)...)
		s.substitute("target_file.txt", "malicious contents")
		s.publish("targets", "snapshot", "timestamp")
		d.download(0, "target_file.txt") // the right one is there
		d.wantGot(append(others, changed, added)...)
		others = append(others, added)
	}
}

func TestHashAlgorithms(t *testing.T) {
	const content = "target file contents"
	for _, c := range [][]string{{"sha256"}, {"sha512"}, {"sha256", "sha512"}, {"sha256", "unknown-hash"}} {
		t.Run(strings.Join(c, " and "), func(t *testing.T) {
			s, d := newServing(t, "target_file.txt", content, c...)
			d.download(0, "target_file.txt")
			d.wantImagesAsked(digest(c[0], content) + ".target_file.txt") // sha256 where there is one
			d.wantGot(content)
			s.publish("root")
			d.download(0, "target_file.txt")
			d.wantImagesAsked()
		})
	}
}

func TestUnknownHashAlgorithm(t *testing.T) {
	_, d := newServing(t, "target_file.txt", "target file contents", "unknown-hash")
	d.download(1, "target_file.txt")
	d.wantGot()
}

func TestEveryListedHashMustMatch(t *testing.T) {
	s, d := newServing(t, "target_file.txt", "target file contents", "sha256", "sha512")
	s.listedTarget("targets", "target_file.txt")["hashes"].(map[string]any)["sha512"] = digest("sha512", "another")
	s.publish("targets", "snapshot", "timestamp")
	d.download(1, "target_file.txt")
	d.wantGot()
}

func (s *simulator) listedTarget(role, path string) map[string]any {
	return s.docs[role]["targets"].(map[string]any)[path].(map[string]any)
}

func TestTargetOfAnotherLength(t *testing.T) {
	for name, c := range map[string]struct{ listed, served string }{
		"endless data": {"short", strings.Repeat("endless", 1<<17)},
		"one too many": {"content", "contents"},
		"one too few":  {"contents", "content"},
		"nothing":      {"contents", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newServing(t, "file", c.listed)
			s.substitute("file", c.served)
			d.download(1, "file")
			d.wantGot()
		})
	}
}

func TestEmptyTarget(t *testing.T) {
	_, d := newServing(t, "empty", "")
	d.download(0, "empty")
	d.wantGot("")
}

func TestRightTargetIsNotAskedForAgain(t *testing.T) {
	_, d := newServing(t, "file", "content")
	d.download(0, "file")
	d.wantImagesAsked(digest("sha256", "content") + ".file")
	d.download(0, "file")
	d.wantImagesAsked()
	for name, spoil := range map[string]func(file string) error{
		"other bytes":  func(file string) error { return os.WriteFile(file, []byte("CONTENT"), 0o644) },
		"other length": func(file string) error { return os.WriteFile(file, []byte("contents"), 0o644) },
		"gone":         os.Remove,
	} {
		if err := spoil(filepath.Join(d.targets, "file")); err != nil {
			t.Fatal(err)
		}
		d.download(0, "file")
		d.wantImagesAsked(digest("sha256", "content") + ".file")
		d.wantGot("content")
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestSeveralTargetsInOrderUntilOneFails(t *testing.T) {
	s, d := newTrusting(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.add("targets", name, "content of "+name)
	}
	s.publish("targets", "snapshot", "timestamp")
	d.download(0, "b", "a", "b")
	d.wantAsked("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json")
	asked := func(name string) string { return digest("sha256", "content of "+name) + "." + name }
	d.wantImagesAsked(asked("b"), asked("a"))
	d.wantGot("content of b", "content of a")
	d.download(1, "a", "c", "not there", "d")
	d.wantAsked("2.root.json", "timestamp.json")
	d.wantImagesAsked(asked("c"))
	d.wantGot("content of b", "content of a", "content of c")
}

func TestTargetNamesStayInsideTheDirectory(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	for _, path := range []string{"/absolute", "..%2Fescaped", "a b?c#d%e", ".hidden", "a//b", "ünïcode", `back\slash`, long} {
		t.Run(strings.ReplaceAll(path[:min(len(path), 20)], "/", "|"), func(t *testing.T) {
			_, d := newServing(t, path, "content")
			d.download(0, path)
			d.wantGot("content")
			d.download(0, path)
			d.wantImagesAsked(d.s.hashed(path, "content"))
			entries, err := os.ReadDir(d.targets)
			if err != nil || len(entries) != 1 || strings.HasPrefix(entries[0].Name(), ".") {
				t.Errorf("in TDIR: %v (%v), want one visible file", entries, err)
			}
		})
	}
	for _, path := range []string{"../outside", "a/../../outside", "..", "."} {
		t.Run("refused "+strings.ReplaceAll(path, "/", "|"), func(t *testing.T) {
			_, d := newServing(t, path, "content")
			// Under consistent snapshots the last segment gets the hash in front; a dot segment before it can't be
			// asked for.
			if path == ".." || path == "." {
				d.download(0, path)
				d.wantGot("content")
				return
			}
			d.download(1, path)
			d.wantGot()
			d.wantImagesAsked()
		})
	}
}

// hashed is a target's name as a request has it: escaped, the hash in front of the last segment.
func (s *simulator) hashed(path, content string) string {
	segments := strings.Split(path, "/")
	last := len(segments) - 1
	segments[last] = digest("sha256", content) + "." + segments[last]
	for i := range segments {
		segments[i] = escapeSegment(segments[i])
	}
	return strings.Join(segments, "/")
}

func TestLinksInTheTargetDirectoryAreNotFollowed(t *testing.T) {
	_, d := newServing(t, "file", "content")
	outside := filepath.Join(t.TempDir(), "outside")
	for _, before := range []string{"keep me", "content"} {
		if err := os.WriteFile(outside, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(d.targets, "file")
		os.Remove(link)
		if err := os.Symlink(outside, link); err != nil {
			t.Fatal(err)
		}
		d.download(0, "file")
		d.wantGot("content")
		if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
			t.Errorf("TDIR holds %v (%v), want a plain file", info, err)
		}
		if b, err := os.ReadFile(outside); err != nil || string(b) != before {
			t.Errorf("the file that the link led to holds %q (%v), want %q", b, err, before)
		}
	}
}
