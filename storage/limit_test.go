package storage

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A commit that is refused with reason Limit has written nothing of all that was in it, and the store goes on. So who
// asked for too much, a role with a long name, say, can be told from a disk that fails.
func TestLimitIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	long := verifier.Key{Role: strings.Repeat("r", verifier.RoleNameBytesMax+1)}
	for name, beyond := range map[string]func(c *agent.Change){
		"a role's name":         func(c *agent.Change) { c.Metadata.Put = append(c.Metadata.Put, verifier.Document{Key: long}) },
		"a dropped role's name": func(c *agent.Change) { c.Metadata.Drop = []verifier.Key{long} },
		"a component's name": func(c *agent.Change) {
			c.Records = append(c.Records, agent.Record{Component: strings.Repeat("c", floorNameMax+1)})
		},
		"signers": func(c *agent.Change) { c.Metadata.Floors.Timestamp.Signers = signers(floorSignersMax + 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fastDir(t))
			s, err := open(w.dir, Options{}, w.disk())
			must(t, err)
			must(t, s.Commit(fullChange(1)))
			before, steps := snapshot(t, w.dir), w.steps
			c := fullChange(2) // raises floors, and has a document with a file
			beyond(&c)
			err = s.Commit(c)
			wantReason(t, err, agent.ReasonLimit)
			if !errors.Is(err, agent.ErrNothingWritten) {
				t.Errorf("it is not told from a commit of unknown outcome: %v", err)
			}
			if w.steps != steps || !reflect.DeepEqual(before, snapshot(t, w.dir)) {
				t.Errorf("%d steps changed the disk", w.steps-steps)
			}
			if got := loadT(t, s).Floors.RootVersion; got != 1 {
				t.Errorf("floor %d", got)
			}
			must(t, s.Commit(fullChange(2)))
			must(t, s.Close())
		})
	}
}
