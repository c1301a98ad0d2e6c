package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// Budgets of the whole agent on any input, with the default limits (docs/benchmarks.md).
const (
	worstRSSMax = 96 << 20
	worstCPUMax = 20 * time.Second
	// margin is how much shorter than the limit the worst documents are: the rest of the file.
	margin = 64 << 10
)

// BenchmarkWorst shows the agent the worst metadata that was found, and prints what each costs it. It fails
// where a budget is missed. Run it with -benchtime 1x.
func BenchmarkWorst(b *testing.B) { showWorst(b, func(string) bool { return true }) }

// The agent stays within its budgets also where the worst metadata comes: here one document of each author's,
// in the benchmark all of them.
func TestWorstMetadata(t *testing.T) {
	shown := map[string]bool{
		"snapshot, names out of order": true, "targets, names out of order": true,
		"targets and vendor, both as long as may be": true, "32 vendors, 24 MiB each": true, "snapshot, 64 MiB": true,
	}
	showWorst(t, func(name string) bool { return shown[name] })
}

type worstRow struct {
	name, by   string
	components []string
	make       func() *tuftest.Repository
}

func worstRows() []worstRow {
	limits := verifier.DefaultLimits()
	rows := []worstRow{{"honest, 100,000 targets", "nobody", []string{"board-00/stable/app-000000.img"}, honest}}
	for _, w := range tuftest.Worst() {
		length := limits.StatedBytes - margin
		if strings.HasPrefix(w.Name, "snapshot") {
			length = limits.StatedSnapshotBytes - margin
		}
		rows = append(rows, worstRow{w.Name, w.By, []string{tuftest.WorstPath}, func() *tuftest.Repository { return w.Make(int(length)) }})
	}
	var vendors []string
	for i := range 32 {
		vendors = append(vendors, fmt.Sprintf("vendor%d/stable/x.img", i))
	}
	return append(rows,
		worstRow{"snapshot, 64 MiB", tuftest.ByTimestamp, []string{tuftest.WorstPath}, func() *tuftest.Repository { return tuftest.Worst()[0].Make(64 << 20) }},
		worstRow{"32 vendors, 24 MiB each", "32 vendors, who sign them", vendors,
			func() *tuftest.Repository { return tuftest.ManyVendors(32, int(limits.StatedBytes-margin)) }})
}

// honest is the largest repository that the default limits are made for.
func honest() *tuftest.Repository {
	r := tuftest.New()
	r.MetaHashes = true
	for i := range 100_000 {
		path := fmt.Sprintf("board-%02d/stable/app-%06d.img", i%10, i)
		r.Targets().Targets[path] = tuftest.Target([]byte(path), tuftest.Object{"ota": tuftest.Object{"rollback_index": 7, "version": "2026.11.3"}})
	}
	return r
}

func showWorst(t testing.TB, shown func(name string) bool) {
	fmt.Println("\nThe whole agent, as a device gets it: peak resident memory and CPU time from its start to the end of its first refresh; then")
	fmt.Print("once more, on what it has kept. At most 96 MiB and 20 s are in order.\n\n")
	fmt.Println("| metadata | who must be corrupt | longest file | peak RSS | CPU | after a restart | CPU | outcome |")
	fmt.Println("| --- | --- | --: | --: | --: | --: | --: | --- |")
	for _, row := range worstRows() {
		if shown(row.name) {
			row.show(t)
		}
	}
}

func (row worstRow) show(t testing.TB) {
	repo := row.make()
	files := repo.Files()
	longest := 0
	for _, file := range files {
		longest = max(longest, len(file))
	}
	// The server does not say how long the files are: the agent must not need it.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, ok := files[strings.TrimPrefix(r.URL.EscapedPath(), "/metadata/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		for rest := file; len(rest) > 0; rest = rest[min(len(rest), 64<<10):] {
			_, _ = w.Write(rest[:min(len(rest), 64<<10)])
		}
	}))
	defer server.Close()
	d := newDevice(t, &repository{anchor: repo.Anchor()}, server.URL+"/metadata", server.URL+"/targets", "")
	d.watch(row.components)
	var lives [2]usage
	outcome := ""
	for i := range lives {
		d.start()
		outcome = d.firstRefresh(row.name)
		lives[i] = d.usage()
		d.kill()
	}
	must(t, os.RemoveAll(d.dir))
	fmt.Printf("| %s | %s | %.1f MiB | %.1f MiB | %.2f s | %.1f MiB | %.2f s | %s |\n", row.name, row.by, mib(int64(longest)),
		mib(lives[0].peakRSS), lives[0].cpu.Seconds(), mib(lives[1].peakRSS), lives[1].cpu.Seconds(), outcome)
	for _, u := range lives {
		if u.peakRSS > worstRSSMax || u.cpu > worstCPUMax {
			t.Errorf("%s: %.1f MiB and %.1f s of CPU for a refresh: over budget", row.name, mib(u.peakRSS), u.cpu.Seconds())
		}
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// watch makes the device look these target paths up, each for a component of its own.
func (d *device) watch(paths []string) {
	config, err := os.ReadFile(d.path("config.toml"))
	must(d.t, err)
	head, _, _ := strings.Cut(string(config), "[[component]]")
	head = strings.Replace(head, `poll = "1m"`, `poll = "1d"`, 1)
	for i, path := range paths {
		head += fmt.Sprintf("[[component]]\nname = \"c%d\"\ntarget = %q\nhook = %q\nenv = { BOARD = %q }\n", i, path, d.path("hook"), d.dir)
	}
	must(d.t, os.WriteFile(d.path("config.toml"), []byte(head), 0o644))
}

// firstRefresh asks for a refresh, before the one that the agent draws a time for, and says what came of it.
func (d *device) firstRefresh(what string) string {
	d.t.Helper()
	d.await("the agent's socket: "+what, 30*time.Second, func() bool { return d.status().Schema > 0 })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := d.client.Check(ctx)
	must(d.t, err)
	if p := s.Repository.LastProblem; p != nil {
		return string(p.Reason)
	}
	reasons := map[agent.Reason]int{}
	for _, c := range s.Components {
		if c.Problem != nil {
			reasons[c.Problem.Reason]++
		} else if c.Waiting != nil {
			reasons[c.Waiting.Reason]++
		} else {
			reasons["accepted"]++
		}
	}
	return strings.Trim(fmt.Sprint(reasons), "map[]")
}
