package publish

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

// TestARolloutLastsAsLongAsATimestampIsGood: in a rollout of a minute no device joined at its place, and none
// could be stopped.
func TestARolloutLastsAsLongAsATimestampIsGood(t *testing.T) {
	for name, tt := range map[string]struct {
		timestamp, rollout time.Duration
		refused            bool
	}{
		"a minute, and timestamps of a day":         {0, time.Minute, true},
		"one second too short":                      {0, day - time.Second, true},
		"as long":                                   {0, day, false},
		"two hours, and timestamps of two hours":    {2 * time.Hour, 2 * time.Hour, false},
		"an hour, and timestamps of two hours":      {2 * time.Hour, time.Hour, true},
		"all at once from a time on, which is none": {0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			settings := newSettings(Expiry{Timestamp: tt.timestamp}.withDefaults(), nil)
			r := &Repo{settings: settings}
			_, err := r.checkAddition(Addition{Path: "board/stable/rootfs.img", Image: strings.NewReader("x"),
				Info: release.Info{Version: "1", Rollout: &release.Rollout{Start: start, Duration: tt.rollout}}, LowerIndex: true})
			if refused := errors.Is(err, ErrRollout); refused != tt.refused || !refused && err != nil {
				t.Errorf("%v, expected refused: %v", err, tt.refused)
			}
		})
	}
}
