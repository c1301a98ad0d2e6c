package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

const (
	// cutAfter is how much of system 3 is there when the power goes, at the least.
	cutAfter = 12 << 20
	// cutBefore is how much of it the mirror hands out before that, at the most.
	cutBefore = 24 << 20
	// unflushedMax is how much of a download a power cut may cost: what the agent writes between two flushes, and
	// the part that was on its way.
	unflushedMax = 5 << 20
)

// powerCut: the download of system 3 is cut by SIGKILL and goes on at the last durable byte.
func (s *story) powerCut(ctx context.Context) error {
	s.show.prose(`System 3 is on its way when the power goes: everything on the board is killed at once. The board comes
		back in system 2, and the agent asks only for the bytes that it does not have.`)
	v3, err := s.publisher.system("3", healthySystem, 32<<20)
	if err != nil {
		return err
	}
	s.mirror.behave(conduct{ImageRate: 12 << 20, HoldAt: cutBefore})
	mark := s.mirror.mark()
	if err := s.wake(ctx, wakeDevice); err != nil {
		return err
	}
	if _, err := s.await(ctx, "waiting for a part of system 3", func(st agent.Status) bool {
		p := component(st, system).Progress
		return p != nil && p.Total == v3.Length && p.Done >= cutAfter
	}); err != nil {
		return err
	}
	durable, err := s.cut(v3, mark)
	if err != nil {
		return err
	}
	s.mirror.behave(conduct{ImageRate: 12 << 20})
	if err := s.board.powerOn(); err != nil {
		return err
	}
	back := s.lastBoot()
	if _, err := s.await(ctx, "waiting for system 3 to be confirmed", runs(system, "3")); err != nil {
		return err
	}
	s.seeResume(mark, v3, back, durable)
	return nil
}

// cut cuts the power and returns how many bytes of the image outlived it. SIGKILL leaves the kernel's memory alone, so
// what the agent had not flushed is taken from the flash here, as a real power cut does.
func (s *story) cut(v3 published, mark int) (int64, error) {
	s.begin("cutting the power")
	if err := s.board.cutPower(); err != nil {
		return 0, err
	}
	s.show.progressEnds(false)
	path := filepath.Join(s.board.paths.partial(), v3.SHA256)
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("the partial image after the cut: %w", err)
	}
	durable, err := durableBytes(s.board.paths, v3)
	if err != nil {
		return 0, fmt.Errorf("the partial image after the cut: %w", err)
	}
	if err := eraseFrom(path, durable, info.Size()); err != nil {
		return 0, err
	}
	lost := info.Size() - durable
	s.show.say("server", "had sent %s of %s", mib(bodyBytes(s.imageRequests(mark, v3))), mib(v3.Length))
	s.show.say("board", "POWER CUT: everything is killed; %s of system 3 are durable, %s were not flushed yet and are lost", mib(durable), mib(lost))
	within(s.checks, "lost, since not flushed yet", 0, unflushedMax, lost)
	return durable, nil
}

func (s *story) seeResume(mark int, v3 published, back boot, durable int64) {
	same(s.checks, "boot after the power cut", "slot B, primary, system 2", describeBoot(back))
	atLeast(s.checks, "durable bytes at the cut", cutAfter-unflushedMax, durable)
	requests := s.imageRequests(mark, v3)
	same(s.checks, "requests for the image", 2, len(requests))
	if len(requests) == 2 {
		second := requests[1]
		same(s.checks, "the second asks for", fmt.Sprintf("bytes=%d-", durable), second.Range)
		same(s.checks, "only if it is still the same file", true, second.IfRange != "")
		sameBytes(s.checks, "bytes sent after the cut", v3.Length-durable, second.Bytes)
		sameBytes(s.checks, "bytes not fetched again", durable, v3.Length-second.Bytes)
	}
	same(s.checks, "slot A's bytes are the published ones", short(v3.SHA256), short(hashFirst(s.board.paths.slot("A"), v3.Length)))
	same(s.checks, "the last boot", "slot A, one-shot try, system 3", describeBoot(s.lastBoot()))
}

// durableBytes asks the agent's own store, on a copy of the flash, how much of a partial image it vouches for.
func durableBytes(p paths, r published) (n int64, err error) {
	scratch := filepath.Join(p.dir, "after-cut")
	if err := os.CopyFS(filepath.Join(scratch, "partial"), os.DirFS(p.partial())); err != nil {
		return 0, err
	}
	store, err := storage.Open(scratch, storage.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close(), os.RemoveAll(scratch)) }()
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil {
		return 0, err
	}
	part, err := store.Images().Partial(verifier.Target{Path: r.Target, Length: r.Length, SHA256: sum})
	if err != nil {
		return 0, err
	}
	return part.Size(), part.Close()
}

// eraseFrom writes zeros over the bytes of a file from from to its end at size.
func eraseFrom(path string, from, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, size-from), from)
	return errors.Join(err, f.Close())
}
