package sim

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// stolenTimestampKey: a thief of the timestamp key serves a timestamp that claims to be of years to come, and that drives
// the floor of the effective time ahead of all honest metadata. A few days later the publisher notices, has root revoke
// the key, and publishes a release. What the thief said of the time must be void then, whatever dies meanwhile.
func stolenTimestampKey(testing.TB) Scenario {
	const revoked = 3 * 24 * time.Hour
	return Scenario{repo: withStolenTimestamp(), stolenTime: true,
		at: func(w *World) int {
			switch {
			case w.ran < 8*time.Hour:
				return 0
			case w.ran < revoked:
				return 1
			}
			return 2
		},
		end: func(w *World, s agent.Status) bool {
			return rests(w, s, rootfs, 2) && s.Time.Effective.Before(w.now().Add(time.Hour))
		},
	}
}

// withStolenTimestamp is a repository of three stages: honest, the thief's, honest again.
func withStolenTimestamp() *repository {
	p := &pressed{repository: &repository{releases: map[string][][]byte{}}, tuf: tuftest.New()}
	for _, role := range []*tuftest.Role{p.tuf.Timestamp, p.tuf.Snapshot, p.tuf.Targets()} {
		role.Expires = epoch.Add(expiry)
	}
	p.anchor = p.tuf.Anchor()
	p.release()
	p.sign(epoch.Add(time.Minute))
	p.tuf.Timestamp.Version++
	p.tuf.Timestamp.Expires = epoch.AddDate(9, 0, 0)
	p.sign(epoch.AddDate(3, 0, 0))
	p.tuf.Rotate(verifier.Timestamp, "not stolen")
	p.tuf.PublishRoot()
	p.tuf.Timestamp.Expires = epoch.Add(expiry)
	p.release()
	p.tuf.Publish(verifier.Targets)
	p.sign(epoch.Add(3 * 24 * time.Hour))
	return p.repository
}

// A pressed repository is signed in memory, by keys that the test can take away.
type pressed struct {
	*repository
	tuf   *tuftest.Repository
	files map[string][]byte // of images, below the repository
}

// release adds a good release of rootfs.
func (p *pressed) release() {
	target := "board/stable/" + rootfs + ".img"
	a := p.addition(target, publication{component: rootfs, how: fine})
	image := p.releases[rootfs][len(p.releases[rootfs])-1]
	p.tuf.Targets().Targets[target] = tuftest.Target(image, tuftest.Object{"ota": tuftest.Object{
		"version": a.Info.Version, "rollback_index": *a.Info.RollbackIndex}})
	if p.files == nil {
		p.files = map[string][]byte{}
	}
	p.files[path.Join("targets", path.Dir(target), hash(image)+"."+path.Base(target))] = slices.Clone(image)
}

// sign makes the next stage, at this time by the publisher's clock.
func (p *pressed) sign(at time.Time) {
	p.tuf.Timestamp.Edit = func(signed tuftest.Object) { signed["signed_at"] = at.Format(time.RFC3339) }
	stage := map[string][]byte{}
	for name, b := range p.files {
		stage[name] = b
	}
	for i, root := range p.tuf.Roots {
		stage[fmt.Sprintf("metadata/%d.root.json", i+1)] = root
	}
	stage["metadata/timestamp.json"] = bytes.Clone(p.tuf.TimestampFile())
	stage[fmt.Sprintf("metadata/%d.snapshot.json", p.tuf.Snapshot.Version)] = p.tuf.SnapshotFile()
	stage[fmt.Sprintf("metadata/%d.targets.json", p.tuf.Targets().Version)] = p.tuf.RoleFile(verifier.Targets)
	p.stages = append(p.stages, stage)
}

// TestRevokedTimeIsForgottenAtOnce: the refresh that brings the revoking root was judged by the thief's time, by which all
// metadata has expired. It is done again at once with what is left of the time, not after a back-off.
func TestRevokedTimeIsForgottenAtOnce(t *testing.T) {
	w, why := play(stolenTimestampKey(t), 1, nil)
	if why != "" {
		t.Fatal(why)
	}
	at := func(what string) string {
		for _, line := range slices.Backward(w.trace) {
			if strings.HasSuffix(line, what) {
				return strings.Fields(line)[3]
			}
		}
		t.Fatalf("no %q in\n%s", what, strings.Join(w.trace, "\n"))
		return ""
	}
	if revoked, learned := at("commit -timestamp -snapshot +root time"), at("commit +timestamp time"); revoked != learned {
		t.Errorf("the thief's time was void after %s, and honest metadata was accepted after %s", revoked, learned)
	}
}
