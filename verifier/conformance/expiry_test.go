package main

import "testing"

// The suite's test_expiration.py and test_delegated_expiration.py, and its check that faketime works.

func TestTimeIsThatOfDate(t *testing.T) {
	s, d := newTrusting(t)
	s.docs["root"]["expires"] = days(7)
	s.publish("root")
	d.refresh(0)
	d.now = start().AddDate(0, 0, 8)
	d.refresh(1)
	// expires == now is expired, a second before is not (TUF 5.3.10)
	d.now = start().AddDate(0, 0, 7)
	d.refresh(1)
	d.now = d.now.Add(-1e9)
	d.refresh(0)
}

func TestExpiredRootIsKeptAndEndsTheRefresh(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.publish("root")
	d.refresh(0)
	s.docs["root"]["expires"] = days(-1)
	s.publish("root")
	s.publish("targets", "snapshot", "timestamp")
	d.refresh(1)
	d.wantTrusted("root 3, snapshot 1, targets 1, timestamp 1")
}

func TestExpiredRoleIsRefused(t *testing.T) {
	for role, trusted := range map[string]string{
		"timestamp": "root 1, snapshot 1, targets 1, timestamp 1",
		"snapshot":  "root 1, snapshot 1, targets 1, timestamp 2",
		"targets":   "root 1, snapshot 2, targets 1, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			s, d := newTrusting(t)
			d.refresh(0)
			s.docs[role]["expires"] = days(-5)
			s.publish("targets", "snapshot", "timestamp")
			d.refresh(1)
			d.wantTrusted(trusted)
		})
	}
}

func TestExpiredTargetsThatNobodyLists(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.docs["targets"]["expires"] = days(-5)
	s.publish("snapshot", "timestamp") // the snapshot still lists targets 1
	d.refresh(0)
	d.wantTrusted("root 1, snapshot 2, targets 1, timestamp 2")
}

func TestExpiredAnchorIsReplaced(t *testing.T) {
	s, d := newTrusting(t)
	d.now = start().AddDate(0, 0, 40)
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		s.docs[role]["expires"] = days(60)
	}
	s.publish("root", "targets", "snapshot", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 2, targets 2, timestamp 2")
}

func TestExpiredStoredRootIsReplaced(t *testing.T) {
	s, d := newTrusting(t)
	s.docs["root"]["expires"] = days(7)
	s.publish("root")
	d.refresh(0)
	s.docs["root"]["expires"] = days(21)
	s.publish("root")
	d.now = start().AddDate(0, 0, 18)
	d.refresh(0)
	d.wantTrusted("root 3, snapshot 1, targets 1, timestamp 1")
}

func TestExpiredStoredRoleIsReplaced(t *testing.T) {
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			s, d := newTrusting(t)
			s.docs[role]["expires"] = days(7)
			s.publish("targets", "snapshot", "timestamp")
			d.refresh(0)
			s.docs[role]["expires"] = days(21)
			s.publish("targets", "snapshot", "timestamp")
			d.now = start().AddDate(0, 0, 18)
			d.refresh(0)
			d.wantTrusted("root 1, snapshot 3, targets 3, timestamp 3")
		})
	}
}

func TestExpiredStoredRoleIsNotUsed(t *testing.T) {
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			s, d := newTrusting(t)
			s.docs[role]["expires"] = days(7)
			s.publish("targets", "snapshot", "timestamp")
			d.refresh(0)
			d.now = start().AddDate(0, 0, 18)
			d.refresh(1)
		})
	}
}

// newDelegating is a scene with a delegated role of two targets, which expires on a day.
func newDelegating(t *testing.T, day int) (*simulator, *device) {
	t.Helper()
	s, d := newTrusting(t)
	s.delegate("targets", "delegated", false, "delegatedpath/*")
	s.docs["delegated"]["expires"] = days(day)
	s.add("delegated", "delegatedpath/first", "first")
	s.add("delegated", "delegatedpath/second", "second")
	s.publish("delegated", "targets", "snapshot", "timestamp")
	return s, d
}

func TestExpiredDelegatedRole(t *testing.T) {
	_, d := newDelegating(t, -1)
	d.refresh(0)
	d.download(1, "delegatedpath/first")
	d.wantGot()
	d.wantTrusted("root 1, snapshot 2, targets 2, timestamp 2")
}

func TestExpiredStoredDelegatedRoleIsNotUsed(t *testing.T) {
	_, d := newDelegating(t, 7)
	d.download(0, "delegatedpath/first")
	d.wantGot("first")
	d.now = start().AddDate(0, 0, 18)
	d.download(1, "delegatedpath/second")
	d.wantGot("first")
}

func TestExpiredStoredDelegatedRoleIsReplaced(t *testing.T) {
	s, d := newDelegating(t, 7)
	d.download(0, "delegatedpath/first")
	s.docs["delegated"]["expires"] = days(21)
	s.publish("delegated", "snapshot", "timestamp")
	d.now = start().AddDate(0, 0, 18)
	d.download(0, "delegatedpath/second")
	d.wantGot("first", "second")
	d.wantTrusted("root 1, snapshot 3, targets 2, timestamp 3", 1)
}
