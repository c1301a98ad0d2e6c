package agent_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// liars are sixteen mirrors that all serve the same targets file, which is long and not signed.
type liars struct {
	emptyDevice
	files map[string][]byte
	asked int // times the targets file was asked for
}

func (l *liars) MetadataRefused() bool { return true }
func (l *liars) Metadata(_ context.Context, name string, _ int64) ([]byte, error) {
	if name == "1.targets.json" {
		l.asked++
	}
	if file, ok := l.files[name]; ok {
		return file, nil
	}
	return nil, agent.ErrAbsent
}

// Who holds the online keys and serves every mirror could make a device refuse sixteen long files in one
// refresh. It stops once it has heard as much as three of the longest.
func TestRefusedMetadataIsBoundedInBytes(t *testing.T) {
	for name, c := range map[string]struct{ length, asked int }{
		"long":  {22 << 20, 3},
		"short": {1 << 10, 16},
	} {
		repo := tuftest.New()
		repo.MetaHashes = true
		repo.Targets().Tamper = func([]byte) []byte { return make([]byte, c.length) }
		d := &liars{files: repo.Files()}
		a, err := agent.New(agent.Config{Anchor: repo.Anchor()},
			agent.Ports{Store: d, Images: d, Repository: d, System: d, Random: func() float64 { return 1 }},
			slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		if err := a.Check(ctx); err == nil {
			t.Errorf("%s: the check found nothing to refuse", name)
		}
		stop()
		<-ended
		if d.asked != c.asked {
			t.Errorf("%s: asked %d times in one refresh, want %d", name, d.asked, c.asked)
		}
	}
}
