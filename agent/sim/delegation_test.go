package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// vendor is the role that signs for the application. The device maker signs the rest.
const vendor = "app-vendor"

// A consortium is a repository in the making, in which a vendor signs for the application.
type consortium struct {
	*repository
	tuf    *tuftest.Repository
	images map[string][]byte
}

// newConsortium lists the first release of the system and of the application. What the device maker signs is valid for years.
func newConsortium() *consortium {
	c := &consortium{tuf: tuftest.New(), images: map[string][]byte{}}
	for _, r := range []*tuftest.Role{c.tuf.Timestamp, c.tuf.Snapshot, c.tuf.Targets()} {
		r.Expires = epoch.AddDate(3, 0, 0)
	}
	c.repository = &repository{anchor: c.tuf.Anchor(), releases: map[string][][]byte{}, components: []string{rootfs, app}}
	c.delegate(verifier.Targets, vendor)
	c.add(verifier.Targets, rootfs)
	c.add(vendor, app)
	c.stage()
	return c
}

// delegate has a role trust another one with the application.
func (c *consortium) delegate(from, to string) *tuftest.Role {
	r := c.tuf.Delegate(from, tuftest.Delegation{Name: to, Paths: []string{"board/stable/app.img"}})
	r.Expires = epoch.AddDate(3, 0, 0)
	return r
}

// add has a role list the next release of a component, a good one.
func (c *consortium) add(role, component string) {
	index := len(c.releases[component]) + 1
	image := slices.Repeat(fmt.Appendf(nil, "%s v%d of %s\n", fine, index, component), imageBytes)[:imageBytes]
	c.tuf.Roles[role].Targets["board/stable/"+component+".img"] = tuftest.Target(image,
		tuftest.Object{"ota": tuftest.Object{"version": fmt.Sprintf("v%d", index), "rollback_index": int64(index)}})
	c.releases[component] = append(c.releases[component], image)
	c.known = append(c.known, known{image: image, id: hash(image), how: fine, index: int64(index)})
	c.images["targets/board/stable/"+hash(image)+"."+component+".img"] = image
}

// stage publishes the named roles.
func (c *consortium) stage(roles ...string) {
	if len(roles) > 0 {
		c.tuf.Publish(roles...)
	}
	files := map[string][]byte{"metadata/1.root.json": c.tuf.Anchor(), "metadata/timestamp.json": c.tuf.TimestampFile(),
		"metadata/" + verifier.FileName(verifier.Snapshot, c.tuf.Snapshot.Version): c.tuf.SnapshotFile()}
	for name, role := range c.tuf.Roles {
		files["metadata/"+verifier.FileName(name, role.Version)] = c.tuf.RoleFile(name)
	}
	for name, image := range c.images {
		files[name] = image
	}
	c.stages = append(c.stages, files)
}

// onlyTheApplicationSuffers ends when the system runs its second release, and the application says why it has none.
func onlyTheApplicationSuffers(reason agent.Reason) func(*World, agent.Status) bool {
	return func(w *World, s agent.Status) bool {
		c, p := status(s, app), s.Repository.LastProblem
		return rests(w, s, rootfs, 2) && c.Waiting != nil && c.Waiting.Reason == reason && c.Problem != nil && c.Problem.Reason == reason &&
			p != nil && p.Reason == reason
	}
}

// lapsedVendor: the vendor has let its role expire. That must not keep back the system's update, which another role lists.
func lapsedVendor(testing.TB) Scenario {
	c := newConsortium()
	c.tuf.Roles[vendor].Expires = epoch.Add(60 * time.Hour)
	c.stages = nil
	c.stage()
	c.add(verifier.Targets, rootfs)
	c.stage(verifier.Targets)
	return Scenario{repo: c.repository, end: onlyTheApplicationSuffers(agent.ReasonExpired),
		at: func(w *World) int { return min(1, int(w.ran/(48*time.Hour))) }} // 12 hours after the expiry
}

// lapsedBeforeTry: the application's next release is written and waits for an operator when its vendor's role expires. No refresh will
// name it before its try, and that must not keep back the system's update, which another role lists.
func lapsedBeforeTry(testing.TB) Scenario { return lapsedIn(agent.Switched) }

func lapsedIn(phase agent.Phase) Scenario {
	c := newConsortium()
	c.tuf.Roles[vendor].Expires = epoch.Add(60 * time.Hour)
	c.add(vendor, app)
	c.stage(vendor)
	c.add(verifier.Targets, rootfs)
	c.stage(verifier.Targets)
	return Scenario{repo: c.repository,
		at: func(w *World) int { return stageAt(w, 20*time.Hour, 70*time.Hour) },
		events: []event{
			orders("pause", func(w *World) bool {
				return w.disk.state.Records[app].Phase == phase || w.disk.state.Device.Paused || w.ran > 65*time.Hour
			}),
			orders("resume", func(w *World) bool { return w.ran > 80*time.Hour }),
		},
		end: func(w *World, s agent.Status) bool {
			return w.happened == 2 && rests(w, s, rootfs, 2) && s.Repository.LastProblem != nil && s.Repository.LastProblem.Reason == agent.ReasonExpired
		}}
}

// TestAVendorThatLapsesKeepsNobodyWaiting is the same where the release is not even written.
func TestAVendorThatLapsesKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	if w, why := play(lapsedIn(agent.Staged), 1, nil); why != "" || w.disk.state.Records[app].Phase != agent.Staged {
		t.Errorf("%s, the application is %s\n%s", why, w.disk.state.Records[app].Phase, w.tail())
	}
}

// requirementTakenBack: the application's next release requires a system that nobody publishes. A day later the vendor lists the same image
// without that, and a day later it lists it with another requirement, which is met.
func requirementTakenBack(testing.TB) Scenario {
	c := newConsortium()
	c.add(vendor, app)
	list := func(requires ...any) {
		c.tuf.Roles[vendor].Targets["board/stable/"+app+".img"] = tuftest.Target(c.releases[app][1],
			tuftest.Object{"ota": tuftest.Object{"version": "v2", "rollback_index": int64(2), "requires": requires}})
		c.stage(vendor)
	}
	list(tuftest.Object{"component": rootfs, "rollback_index": int64(5)})
	list(tuftest.Object{"component": rootfs, "rollback_index": int64(1)})
	return Scenario{repo: c.repository, at: func(w *World) int { return stageAt(w, day, 2*day) },
		end: func(w *World, s agent.Status) bool {
			if w.ran < 2*day && w.boards[app].booted == "B" {
				w.breach("a release was tried without what it requires")
			}
			return rests(w, s, app, 2)
		}}
}

// boundlessVendor: the vendor names a role below its own that is longer than any store takes.
func boundlessVendor(testing.TB) Scenario {
	c := newConsortium()
	c.add(verifier.Targets, rootfs)
	c.add(c.delegate(vendor, strings.Repeat("r", verifier.RoleNameBytesMax+1)).Name, app)
	delete(c.tuf.Roles[vendor].Targets, "board/stable/app.img")
	c.stage(verifier.Targets, vendor)
	return Scenario{repo: c.repository, end: onlyTheApplicationSuffers(agent.ReasonLimit),
		at: func(w *World) int { return min(1, int(w.ran/day)) }}
}

// growingVendor: the vendor lets its role grow, and the disk is all but full. That must not keep back the system's update.
func growingVendor(testing.TB) Scenario {
	c := newConsortium()
	c.add(verifier.Targets, rootfs)
	c.add(vendor, app)
	c.tuf.Roles[vendor].Edit = func(signed tuftest.Object) { signed["filler"] = strings.Repeat("f", largeBytes) }
	c.stage(verifier.Targets, vendor)
	return Scenario{repo: c.repository, end: onlyTheApplicationSuffers(agent.ReasonDiskFull),
		at:    func(w *World) int { return min(1, int(w.ran/day)) },
		equip: func(w *World, _ *agent.Ports) { w.disk.full = true }}
}

// restlessVendor: each day the vendor has other roles sign for its application, and the snapshot goes on to list the old ones, as
// the specification demands. The device keeps what leads to its target, and no more.
func restlessVendor(testing.TB) Scenario {
	const days, roles = 6, 4
	c := newConsortium()
	for i := range days * roles {
		if i%roles == 0 {
			c.tuf.Roles[vendor].Delegations = nil
		}
		name := fmt.Sprintf("%s-%d", vendor, i)
		c.delegate(vendor, name)
		if i == days*roles-1 {
			c.add(verifier.Targets, rootfs)
			c.add(name, app)
			delete(c.tuf.Roles[vendor].Targets, "board/stable/app.img")
		}
		if i%roles == roles-1 {
			c.stage(verifier.Targets, vendor)
		}
	}
	return Scenario{repo: c.repository, at: func(w *World) int { return min(days, int(w.ran/day)) },
		end: func(w *World, s agent.Status) bool {
			stored := 0
			for k := range w.disk.documents {
				if k.Delegated() {
					stored++
				}
			}
			return rests(w, s, rootfs, 2) && rests(w, s, app, 2) && stored == 1+roles && s.Repository.LastProblem == nil
		}}
}

// relistedSystem: the device maker lists the system that runs with an index, for an application that requires it. No
// other system is installed for that.
func relistedSystem(testing.TB) Scenario {
	const index = int64(7)
	c := newConsortium()
	system, application := "board/stable/"+rootfs+".img", "board/stable/"+app+".img"
	list := func(role, path string, image []byte, ota tuftest.Object) {
		c.tuf.Roles[role].Targets[path] = tuftest.Target(image, tuftest.Object{"ota": ota})
	}
	runs := c.releases[rootfs][0]
	list(verifier.Targets, system, runs, tuftest.Object{"version": "v1"})
	c.stages = nil
	c.stage()
	list(verifier.Targets, system, runs, tuftest.Object{"version": "v1", "rollback_index": index})
	c.known[0].index = index
	c.add(vendor, app)
	list(vendor, application, c.releases[app][1], tuftest.Object{"version": "v2", "rollback_index": int64(2),
		"requires": []any{tuftest.Object{"component": rootfs, "rollback_index": index}}})
	c.stage(verifier.Targets, vendor)
	return Scenario{repo: c.repository, at: func(w *World) int { return min(1, int(w.ran/day)) },
		end: func(w *World, s agent.Status) bool {
			return rests(w, s, rootfs, 1) && rests(w, s, app, 2) && w.disk.floors.Index[rootfs].Version == index
		}}
}
