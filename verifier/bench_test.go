package verifier_test

import (
	"fmt"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// largeRepository lists n targets.
func largeRepository(n int) *tuftest.Repository {
	repo := tuftest.New()
	repo.MetaHashes = true
	entry := tuftest.Target([]byte("content"), tuftest.Object{"ota": tuftest.Object{"version": "1.2.3", "rollback_index": 7}})
	for i := range n {
		repo.Targets().Targets[fmt.Sprintf("hardware-%d/stable/rootfs-%06d.img", i%7, i)] = entry
	}
	return repo
}

// served answers from files made once: what is measured is the verifier, not the simulator.
func served(repo *tuftest.Repository) func(name string) verifier.Answer {
	files := map[string][]byte{"timestamp.json": repo.TimestampFile(), "1.snapshot.json": repo.SnapshotFile(), "1.targets.json": repo.RoleFile(verifier.Targets)}
	return func(name string) verifier.Answer {
		if file := files[name]; file != nil {
			return verifier.Bytes(file)
		}
		return verifier.Absent()
	}
}

func benchmarkRefresh(b *testing.B, warm bool, path string) {
	for _, n := range []int{10, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			repo := largeRepository(n)
			answer := served(repo)
			store := tuftest.NewStore()
			run := func() {
				refresh, err := verifier.Begin(repo.Anchor(), store.Floors, tuftest.Start().Add(day), verifier.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				drive := func(c verifier.Conversation) error {
					return verifier.Drive(c, func(q verifier.Request) verifier.Answer {
						if q.Source == verifier.Stored {
							return store.Answer(q.Key)
						}
						return answer(q.Name)
					}, store.Commit)
				}
				if err := drive(refresh); err != nil {
					b.Fatal(err)
				}
				if path != "" {
					search := refresh.Find(path)
					if err := drive(search); err != nil {
						b.Fatal(err)
					}
					if _, err := search.Found(); err != nil {
						b.Fatal(err)
					}
				}
			}
			run()
			b.SetBytes(int64(len(repo.RoleFile(verifier.Targets))))
			b.ReportAllocs()
			for b.Loop() {
				if !warm {
					store = tuftest.NewStore()
				}
				run()
			}
		})
	}
}

func BenchmarkRefreshCold(b *testing.B)       { benchmarkRefresh(b, false, "") }
func BenchmarkRefreshNothingNew(b *testing.B) { benchmarkRefresh(b, true, "") }
func BenchmarkFind(b *testing.B)              { benchmarkRefresh(b, true, "hardware-0/stable/rootfs-000007.img") }
