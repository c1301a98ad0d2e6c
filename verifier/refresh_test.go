package verifier_test

import (
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// wantAsked checks the requests that the repository saw since the last check.
func wantAsked(t *testing.T, r *tuftest.Repository, want ...string) {
	t.Helper()
	if got := r.Asked(); !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// refreshed runs a refresh that must succeed.
func refreshed(t *testing.T, c *tuftest.Client) *verifier.Refresh {
	t.Helper()
	refresh, err := c.Refresh()
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return refresh
}

func TestRefresh_FirstThenNothingNew(t *testing.T) {
	repo := tuftest.New()
	client := tuftest.NewClient(repo)
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	commits := client.Store.Commits
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json")
	if client.Store.Commits != commits {
		t.Errorf("a refresh that found nothing new wrote %d changes", client.Store.Commits-commits)
	}
}
