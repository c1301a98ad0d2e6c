package fetch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

func TestPlaces(t *testing.T) {
	for pattern, want := range map[string]place{
		"/media/usb":        {mount: []string{"media", "usb"}, below: "."},
		"/media/*/ota":      {mount: []string{"media", "*"}, below: "ota"},
		"/media/*":          {mount: []string{"media", "*"}, below: "."},
		"/run/media/*/*/":   {mount: []string{"run", "media", "*", "*"}, below: "."},
		"/run/media/*/x/*":  {mount: []string{"run", "media", "*", "x", "*"}, below: "."},
		"/mnt/*/ota/stable": {mount: []string{"mnt", "*"}, below: "ota/stable"},
	} {
		if got, err := parsePlace(pattern); err != nil || !slices.Equal(got.mount, want.mount) || got.below != want.below {
			t.Errorf("%s: %+v, %v", pattern, got, err)
		}
	}
	for _, pattern := range []string{"", "/", "media/*", "/media/../*", "/*/ota", "/a/*/*/*", "/media/usb*", "/media/?", "/media/[ab]", "/media//x"} {
		if got, err := parsePlace(pattern); err == nil {
			t.Errorf("%q: %+v, want an error", pattern, got)
		}
	}
	if CheckMedia(make([]string, mediaPatternsMax+1)) == nil {
		t.Error("too many patterns were taken")
	}
}

// plug lays a repository on a stick.
func plug(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"metadata", "targets"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "metadata", "timestamp.json"), []byte("{}"))
	write(t, filepath.Join(dir, "targets", "app.img"), []byte("an image"))
}

// TestMediaFound: what is found of all that may be plugged in, and that none of it makes the look hang or
// lead elsewhere.
func TestMediaFound(t *testing.T) {
	mounts, outside := t.TempDir(), t.TempDir()
	plug(t, outside)
	in := func(parts ...string) string { return filepath.Join(append([]string{mounts}, parts...)...) }
	plug(t, in("good", "ota"))
	plug(t, in("elsewhere", "not-ota"))
	if err := os.MkdirAll(in("empty", "ota", "metadata"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, in("file"), []byte("no directory"))
	for _, dir := range []string{"links", "half", "pipes", "pipe"} {
		if err := os.MkdirAll(in(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{in("links", "ota"): outside, in("up"): outside} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(in("half", "ota", "targets"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "metadata"), in("half", "ota", "metadata")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(in("pipes", "ota"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pipe := range []string{in("pipes", "ota", "metadata"), in("pipes", "ota", "targets"), in("pipe", "ota")} {
		if err := syscall.Mkfifo(pipe, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := New(Config{Metadata: []string{"file:///nowhere"}, Targets: []string{"file:///nowhere"}, Now: time.Now,
		Media: []string{mounts + "/*/ota", mounts + "/none/*", mounts + "/file/*", mounts + "/pipe/ota"}})
	if err != nil {
		t.Fatal(err)
	}
	look := func() []*medium {
		r.media.refresh(t.Context())
		return r.media.list()
	}
	found := look()
	if len(found) != 1 || found[0].path != in("good", "ota") || !r.media.arrived {
		t.Fatalf("%d found, %v", len(found), found)
	}
	if again := look(); len(again) != 1 || again[0] != found[0] {
		t.Error("what was found before is not the same")
	}
	for i := range mediaMax + 2 {
		plug(t, in(fmt.Sprintf("more%d", i), "ota"))
	}
	if n := len(look()); n != mediaMax {
		t.Errorf("%d found, want at most %d", n, mediaMax)
	}
}

// TestMediumStaysInside: a stick's own links lead nowhere but on the stick, and a name never leads out of its
// directory.
func TestMediumStaysInside(t *testing.T) {
	mounts := t.TempDir()
	ota := filepath.Join(mounts, "stick", "ota")
	plug(t, ota)
	write(t, filepath.Join(mounts, "stick", "secret"), []byte("on the stick"))
	for name, target := range map[string]string{"abs.img": "/etc/passwd", "out.img": "../../../../etc/passwd", "zero.img": "/dev/zero"} {
		if err := os.Symlink(target, filepath.Join(ota, "targets", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(ota, "targets", "pipe.img"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Metadata: []string{"file:///nowhere/m"}, Targets: []string{"file:///nowhere/t"},
		Media: []string{mounts + "/*/ota"}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8}); err != nil {
		t.Error(err)
	} else {
		body.Close()
	}
	for _, name := range []string{"abs.img", "out.img", "zero.img", "pipe.img"} {
		if _, err := r.Image(t.Context(), agent.ImageRequest{Name: name, Length: 8}); err == nil || strings.Contains(err.Error(), "root:") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"..%2F..%2Fsecret", "..%2Ftargets%2Fapp.img"} {
		if b, err := r.Metadata(t.Context(), name, 100); err == nil {
			t.Errorf("%s: %q", name, b)
		}
	}
}

// TestMediaBesideTheNetwork: images come from the stick first, metadata from it last; a look at it costs no
// request; and what was wrong with one stick is not held against the next.
func TestMediaBesideTheNetwork(t *testing.T) {
	mounts := t.TempDir()
	stick := filepath.Join(mounts, "stick")
	answer := good
	tell := func(c net.Conn, _ *http.Request) { say(c, answer) }
	c := Config{Metadata: []string{"http://net.example"}, Targets: []string{"http://net.example"}, Media: []string{mounts + "/*"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		ask := func(local bool, requests int64) {
			t.Helper()
			before := s.asked.Load()
			if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || s.repo.Local() != local {
				t.Errorf("%v; local: %v", err, s.repo.Local())
			}
			if n := s.asked.Load() - before; n != requests {
				t.Errorf("%d requests, want %d", n, requests)
			}
		}
		image := func(requests int64) {
			t.Helper()
			before := s.asked.Load()
			if body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8}); err == nil {
				body.Close()
			}
			if n := s.asked.Load() - before; n != requests {
				t.Errorf("%d requests for the image, want %d", n, requests)
			}
		}
		ask(false, 1)
		image(1)
		time.Sleep(restMax)
		plug(t, stick)
		ask(false, 1)
		image(0)
		answer = later
		ask(true, 1)
		ask(true, 0) // the network rests
		if !s.repo.ImageRefused("app.img") {
			t.Error("the network is left for the image")
		}
		image(1)
		if err := os.RemoveAll(stick); err != nil {
			t.Fatal(err)
		}
		image(1)
		plug(t, stick)
		image(1) // the same one: plugging it in again changes nothing
		write(t, filepath.Join(stick, "metadata", "timestamp.json"), []byte(`{"other":1}`))
		image(0)
		answer = good
		time.Sleep(3 * time.Hour)
		ask(false, 1)
	})
}

// TestWatchMedia: each new stick is told once, within ten seconds; what was there at the start, and what goes, is not.
func TestWatchMedia(t *testing.T) {
	mounts := t.TempDir()
	plug(t, filepath.Join(mounts, "first"))
	r, err := New(Config{Metadata: []string{"file:///nowhere"}, Targets: []string{"file:///nowhere"}, Media: []string{mounts + "/*"}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go r.WatchMedia(ctx, func() { told.Add(1) })
		for i, step := range []struct {
			do   func()
			told int64
		}{
			{func() {}, 0},
			{func() { plug(t, filepath.Join(mounts, "second")) }, 1},
			{func() { time.Sleep(time.Hour) }, 1},
			{func() { os.RemoveAll(filepath.Join(mounts, "second")) }, 1},
			{func() { plug(t, filepath.Join(mounts, "second")) }, 2},
			{func() { // other metadata on the same stick
				write(t, filepath.Join(mounts, "first", "metadata", "2.root.json"), []byte("{}"))
				at := time.Now().Add(time.Second)
				os.Chtimes(filepath.Join(mounts, "first", "metadata"), at, at)
			}, 3},
		} {
			step.do()
			time.Sleep(mediaEvery + time.Second)
			synctest.Wait()
			if n := told.Load(); n != step.told {
				t.Fatalf("step %d: told %d times, want %d", i, n, step.told)
			}
		}
	})
}

// TestABadStickStaysBad: pulling a stick and plugging it in again, be it elsewhere, ends neither its rest nor
// any wait; other metadata on it do, and so does the rest's end.
func TestABadStickStaysBad(t *testing.T) {
	mounts := t.TempDir()
	tell := func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nan image")
	}
	c := Config{Metadata: []string{"http://net.example"}, Targets: []string{"http://net.example"}, Media: []string{mounts + "/*"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		image := func(requests int64) {
			t.Helper()
			before := s.asked.Load()
			if body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8}); err == nil {
				body.Close()
			}
			if n := s.asked.Load() - before; n != requests {
				t.Errorf("%d requests for the image, want %d", n, requests)
			}
		}
		news := func(want bool) {
			t.Helper()
			if got := s.repo.media.news(t.Context()); got != want {
				t.Errorf("news: %v, want %v", got, want)
			}
		}
		at := func(name string) string { return filepath.Join(mounts, name) }
		plug(t, at("stick"))
		news(true)
		image(0)
		s.repo.ImageRefused("app.img")
		for i := range 4 {
			os.RemoveAll(at("stick"))
			os.RemoveAll(at("other"))
			news(false)
			plug(t, at([]string{"stick", "other"}[i%2]))
			news(false)
			image(1)
		}
		time.Sleep(restRefused)
		image(0)
		s.repo.ImageRefused("app.img")
		image(1)
		write(t, filepath.Join(at("other"), "metadata", "timestamp.json"), []byte(`{"other":1}`))
		news(true)
		image(0)
		// One that is slow or breaks is not forgotten either.
		list := s.repo.media.targets()
		s.repo.targets.failed(list[0], problem(agent.ReasonTooSlow, "", "slow"))
		os.RemoveAll(at("other"))
		news(false)
		plug(t, at("other"))
		write(t, filepath.Join(at("other"), "metadata", "timestamp.json"), []byte(`{"other":1}`))
		news(true)
		image(1)
		// So many are remembered, and no more.
		for i := range 2 * rememberedMax {
			write(t, filepath.Join(at("other"), "metadata", "timestamp.json"), fmt.Append(nil, i))
			news(true)
		}
		if n := len(s.repo.media.memory); n != rememberedMax {
			t.Errorf("%d media are remembered, want %d", n, rememberedMax)
		}
	})
}

// TestAStickThatIsAlwaysAnother: who shows other metadata each time, with an image that does not verify, has few images
// written, however often that is; a good stick is heard within the hour.
func TestAStickThatIsAlwaysAnother(t *testing.T) {
	mounts := t.TempDir()
	tell := func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nan image")
	}
	c := Config{Metadata: []string{"http://net.example"}, Targets: []string{"http://net.example"}, Media: []string{mounts + "/*"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		stick := filepath.Join(mounts, "stick")
		plug(t, stick)
		fromStick := func() bool {
			t.Helper()
			before := s.asked.Load()
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8})
			if err != nil {
				t.Fatal(err)
			}
			body.Close()
			return s.asked.Load() == before
		}
		show := func(what string) {
			write(t, filepath.Join(stick, "metadata", "timestamp.json"), []byte(what))
			s.repo.media.news(t.Context())
		}
		for i := range liesMax {
			show(fmt.Sprint("bad ", i))
			if !fromStick() {
				t.Errorf("stick %d was not asked", i)
			}
			s.repo.ImageRefused("app.img")
		}
		for i := range 2 * rememberedMax { // so that the bad ones are forgotten
			show(fmt.Sprint("other ", i))
		}
		time.Sleep(restMax)
		if show("new"); fromStick() {
			t.Error("bad sticks are forgotten for others that were here since")
		}
		time.Sleep(restRefused)
		lies := 0
		for i := range 6 * 60 { // one a minute for six hours
			write(t, filepath.Join(stick, "metadata", "timestamp.json"), fmt.Append(nil, i))
			if fromStick() {
				lies++
				s.repo.ImageRefused("app.img")
			}
			time.Sleep(time.Minute)
		}
		if lies != liesMax {
			t.Errorf("%d images were taken from it in six hours, want %d", lies, liesMax)
		}
		write(t, filepath.Join(stick, "metadata", "timestamp.json"), []byte("good"))
		if s.repo.media.news(t.Context()); fromStick() {
			t.Error("an unknown stick is asked at once after so many bad ones")
		}
		time.Sleep(restMax)
		if !fromStick() {
			t.Error("a good stick is not asked an hour later")
		}
	})
}
