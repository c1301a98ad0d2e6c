package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestTogetherEndsWhateverHangs: the process waited for each of its parts, without a bound.
func TestTogetherEndsWhateverHangs(t *testing.T) {
	failed := errors.New("failed")
	for name, tt := range map[string]struct {
		part error         // what another part ends with, after a minute; nil: the context ends then
		hang time.Duration // for how long the part hangs that is told to end
		want error
		took time.Duration
	}{
		"all end":                      {hang: time.Second, took: time.Second},
		"one hangs":                    {hang: time.Hour, want: errLeft, took: endMax},
		"one fails, and one hangs":     {part: failed, hang: time.Hour, want: failed, took: endMax},
		"one fails, and the rest ends": {part: failed, hang: time.Second, want: failed, took: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				all := newTogether(ctx)
				all.start(func(ctx context.Context) error { <-ctx.Done(); time.Sleep(tt.hang); return nil })
				all.start(func(ctx context.Context) error { <-ctx.Done(); return nil })
				time.AfterFunc(time.Minute, func() {
					if tt.part == nil {
						cancel()
					}
				})
				all.start(func(ctx context.Context) error {
					if tt.part == nil {
						<-ctx.Done()
						return nil
					}
					time.Sleep(time.Minute)
					return tt.part
				})
				begun := time.Now()
				err := all.wait(endMax)
				defer time.Sleep(tt.hang) // the bubble ends with its goroutines
				if took := time.Since(begun) - time.Minute; !errors.Is(err, tt.want) || took != tt.took {
					t.Errorf("%v after %s, expected %v after %s", err, took, tt.want, tt.took)
				}
			})
		})
	}
}

// TestNothingThatHangsIsClosedForEver: a disk that hangs must not keep the process alive.
func TestNothingThatHangsIsClosedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		begun := time.Now()
		if inTime(func() { <-release }) || time.Since(begun) != closeMax {
			t.Errorf("it took %s", time.Since(begun))
		}
		close(release)
		if !inTime(func() {}) {
			t.Error("what ends at once was left behind")
		}
	})
}
