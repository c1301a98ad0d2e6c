// Package fetchtest holds what every agent.Repository owes its caller, the real ones and the ones of simulations.
package fetchtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// Contract checks a kind of repository. open makes one that holds files, each named by where a web server would
// find it, not encoded: "metadata/timestamp.json", "targets/dir/app.img".
func Contract(t *testing.T, open func(t *testing.T, files map[string][]byte) agent.Repository) {
	t.Run("metadata", func(t *testing.T) { metadata(t, open) })
	t.Run("metadata names", func(t *testing.T) { metadataNames(t, open) })
	t.Run("image", func(t *testing.T) { image(t, open) })
	t.Run("image resumed", func(t *testing.T) { imageResumed(t, open) })
	t.Run("image of another length", func(t *testing.T) { imageOtherLength(t, open) })
	t.Run("image names", func(t *testing.T) { imageNames(t, open) })
	t.Run("cancelled", func(t *testing.T) { cancelled(t, open) })
}

// an opener is Contract's argument.
type opener = func(t *testing.T, files map[string][]byte) agent.Repository

// Bytes are n bytes without a visible pattern, always the same.
func Bytes(n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for block := sha256.Sum256(nil); len(b) < n; block = sha256.Sum256(block[:]) {
		b = append(b, block[:]...)
	}
	return b[:n]
}

// Addressed is the name of an image under consistent snapshots.
func Addressed(image []byte, name string) string {
	sum := sha256.Sum256(image)
	return hex.EncodeToString(sum[:]) + "." + name
}

func metadata(t *testing.T, open opener) {
	role := []byte(`{"signed":{},"signatures":[]}`)
	r := open(t, map[string][]byte{"metadata/timestamp.json": role, "targets/other": nil})
	size := int64(len(role))
	for _, bytesMax := range []int64{size, size + 1, 1 << 20} {
		got, err := r.Metadata(t.Context(), "timestamp.json", bytesMax)
		if err != nil || !bytes.Equal(got, role) {
			t.Errorf("at most %d bytes: %q, %v; want the %d bytes as they are", bytesMax, got, err, size)
		}
	}
	for _, bytesMax := range []int64{size - 1, 1, 0} {
		got, err := r.Metadata(t.Context(), "timestamp.json", bytesMax)
		wantReason(t, err, agent.ReasonTooLarge)
		if got != nil {
			t.Errorf("at most %d bytes: got %d all the same", bytesMax, len(got))
		}
	}
	for _, name := range []string{"2.root.json", "snapshot.json", "timestamp.json.bak", "Timestamp.json"} {
		if _, err := r.Metadata(t.Context(), name, 1<<20); !errors.Is(err, agent.ErrAbsent) {
			t.Errorf("%s: %v, want ErrAbsent", name, err)
		}
	}
}

func metadataNames(t *testing.T, open opener) {
	inside := []byte(`{"inside":true}`)
	r := open(t, map[string][]byte{
		"metadata/1.a b?c#d%e.json": inside,
		"metadata/3.ü.json":         inside,
		"metadata/timestamp.json":   []byte(`{}`),
		"secret.json":               []byte(`{"outside":true}`),
		"targets/secret.json":       []byte(`{"outside":true}`),
	})
	for _, name := range []string{"1.a%20b%3Fc%23d%25e.json", "1.a%20b%3fc%23d%25e.json", "3.%C3%BC.json"} {
		got, err := r.Metadata(t.Context(), name, 1<<10)
		if err != nil || !bytes.Equal(got, inside) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", ".", "..", "../secret.json", "%2e%2e/secret.json", "timestamp.json?x", "a\x00b.json", "%00.json", "a%zz.json", "%2Fetc%2Fpasswd"} {
		if got, err := r.Metadata(t.Context(), name, 1<<10); err == nil {
			t.Errorf("%q: got %q, want an error", name, got)
		}
	}
}

func image(t *testing.T, open opener) {
	img := Bytes(100_000)
	r := open(t, map[string][]byte{"targets/app.img": img, "targets/empty.img": nil, "metadata/timestamp.json": []byte(`{}`)})
	body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(got, img) || body.From != 0 {
		t.Errorf("%d bytes from %d, %v; want the image", len(got), body.From, err)
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d bytes, %v; want io.EOF again", n, err)
	}
	if err := errors.Join(body.Close(), body.Close()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := r.Image(t.Context(), agent.ImageRequest{Name: "none.img", Length: 5}); !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("missing image: %v, want ErrAbsent", err)
	}
	empty, err := r.Image(t.Context(), agent.ImageRequest{Name: "empty.img"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(empty); err != nil || len(got) != 0 {
		t.Errorf("empty image: %d bytes, %v", len(got), err)
	}
	empty.Close()

	early, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(early, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	early.Close()
	if n, err := early.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read after an early close: %d bytes, %v; want an error that is not io.EOF", n, err)
	}
}

// imageResumed: wherever a body begins, its bytes are the image's from there on.
func imageResumed(t *testing.T, open opener) {
	img := Bytes(50_000)
	name := Addressed(img, "app.img")
	r := open(t, map[string][]byte{"targets/plain.img": img, "targets/dir/" + name: img})
	for _, name := range []string{"plain.img", "dir/" + name} {
		first, err := r.Image(t.Context(), agent.ImageRequest{Name: name, Length: 50_000})
		if err != nil {
			t.Fatal(err)
		}
		first.Close()
		for _, validator := range []string{"", first.Validator, `"another"`, "no validator at all\r\n"} {
			for _, from := range []int64{1, 4096, 49_999, 50_000} {
				resumeAt(t, r, agent.ImageRequest{Name: name, From: from, Length: 50_000, Validator: validator}, img)
			}
		}
	}
}

func resumeAt(t *testing.T, r agent.Repository, q agent.ImageRequest, img []byte) {
	t.Helper()
	body, err := r.Image(t.Context(), q)
	if err != nil {
		t.Errorf("%s from %d, validator %q: %v", q.Name, q.From, q.Validator, err)
		return
	}
	defer body.Close()
	if body.From != q.From && body.From != 0 {
		t.Errorf("%s from %d: the body begins at %d", q.Name, q.From, body.From)
		return
	}
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, img[body.From:]) {
		t.Errorf("%s from %d, validator %q: %d wrong bytes from %d, %v", q.Name, q.From, q.Validator, len(got), body.From, err)
	}
}

// imageOtherLength: a repository that holds another file never yields more than was asked for, nor a short body
// as if it were whole.
func imageOtherLength(t *testing.T, open opener) {
	r := open(t, map[string][]byte{"targets/app.img": Bytes(1000)})
	for _, length := range []int64{1, 999, 1001, 5000} {
		body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: length})
		var got []byte
		if err == nil {
			got, err = io.ReadAll(body)
			body.Close()
		}
		if int64(len(got)) > length {
			t.Errorf("%d bytes of an image of %d", len(got), length)
		}
		if _, ok := errors.AsType[*agent.Problem](err); !ok {
			t.Errorf("1000 bytes for an image of %d: %v, want a Problem", length, err)
		}
	}
}

func imageNames(t *testing.T, open opener) {
	files := map[string][]byte{"secret": []byte("outside"), "metadata/secret": []byte("outside")}
	names := []string{"a b.img", "what?.img", "no#1.img", "100%.img", "%41.img", "ü/ö.img", "a+b=c&d.img", "deep/er/x.img"}
	for _, name := range names {
		files["targets/"+name] = []byte("image " + name)
	}
	r := open(t, files)
	for _, name := range names {
		want := files["targets/"+name]
		body, err := r.Image(t.Context(), agent.ImageRequest{Name: name, Length: int64(len(want))})
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
		body.Close()
	}
	for _, name := range []string{"", ".", "..", "../secret", "deep/../../secret", "deep/./er/x.img", "../metadata/secret", "%2e%2e/secret"} {
		body, err := r.Image(t.Context(), agent.ImageRequest{Name: name, Length: 7})
		if err == nil {
			got, _ := io.ReadAll(body)
			body.Close()
			t.Errorf("%q: got %q, want an error", name, got)
		}
	}
}

// cancelled: what the caller ends is no Problem, and so no reason to back off.
func cancelled(t *testing.T, open opener) {
	r := open(t, map[string][]byte{"metadata/timestamp.json": []byte(`{}`), "targets/app.img": Bytes(1 << 20)})
	ctx, cancel := context.WithCancel(t.Context())
	body, err := r.Image(ctx, agent.ImageRequest{Name: "app.img", Length: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	cancel()
	_, errBody := io.Copy(io.Discard, body)
	_, errMetadata := r.Metadata(ctx, "timestamp.json", 1<<10)
	_, errImage := r.Image(ctx, agent.ImageRequest{Name: "app.img", Length: 1 << 20})
	for _, err := range []error{errBody, errMetadata, errImage} {
		_, isProblem := errors.AsType[*agent.Problem](err)
		if isProblem || !errors.Is(err, context.Canceled) {
			t.Errorf("after cancel: %v, want context.Canceled and no Problem", err)
		}
	}
}

func wantReason(t *testing.T, err error, want agent.Reason) {
	t.Helper()
	p, ok := errors.AsType[*agent.Problem](err)
	if !ok || p.Reason != want {
		t.Errorf("%v, want a Problem with reason %s", err, want)
	}
}
