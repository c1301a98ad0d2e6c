package strict

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

// targetsFile is the shape of a large targets file: entries with both hashes, in ascending order.
func targetsFile(entries int, separator string) []byte {
	var b strings.Builder
	b.WriteString(`{"signatures":[{"keyid":"` + strings.Repeat("ab", 32) + `","sig":"` + strings.Repeat("cd", 64) + `"}],`)
	b.WriteString(`"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.34","targets":{`)
	for i := range entries {
		if i > 0 {
			b.WriteString("," + separator)
		}
		sum := sha256.Sum256(fmt.Append(nil, i))
		fmt.Fprintf(&b, `"releases/%08d/image.bin":{"hashes":{"sha256":"%x"},"length":%d,`, i, sum, 1000000+i)
		fmt.Fprintf(&b, `"custom":{"ota":{"hardware":["board-a"],"rollback_index":7,"version":"1.2.%d"}}}`, i)
	}
	b.WriteString(`},"version":1}}`)
	return []byte(b.String())
}

// canonicalFile is targetsFile the way a signing tool writes it.
func canonicalFile(tb testing.TB, entries int) []byte {
	tb.Helper()
	file, err := AppendCanonical(nil, targetsFile(entries, ""))
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

const benchEntries = 100_000

func BenchmarkDocument(b *testing.B) {
	spaced := func(b *testing.B) []byte {
		return []byte(strings.ReplaceAll(string(canonicalFile(b, benchEntries)), `,"`, `, "`))
	}
	for name, file := range map[string][]byte{
		"canonical": canonicalFile(b, benchEntries),
		"spaced":    spaced(b),
		"unsorted":  targetsFile(benchEntries, ""),
	} {
		b.Run(name+"/validate", func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseDocument(file); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/write", func(b *testing.B) {
			d, err := ParseDocument(file)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Signed.WriteCanonical(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				var v any
				if err := json.Unmarshal(file, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	d, err := ParseDocument(canonicalFile(b, benchEntries))
	if err != nil {
		b.Fatal(err)
	}
	targets, _ := d.Signed.Lookup("targets")
	b.SetBytes(int64(len(targets.Raw())))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := targets.Lookup("releases/00099999/image.bin"); !ok {
			b.Fatal("entry not found")
		}
	}
}

// BenchmarkWorst is what the worst documents that were found cost, of 24 MiB each. Budget: 1 s for 10 MB.
func BenchmarkWorst(b *testing.B) {
	for _, w := range worst() {
		b.Run(w.name, func(b *testing.B) {
			file := w.document(24 << 20)
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				_ = judge(file) // refused or not
			}
			b.ReportMetric((cpuTime()-before).Seconds()*1e7/float64(len(file))/float64(b.N), "CPU-s/10MB")
		})
	}
}

// cpuTime is what this process has had of the CPU, whatever else the machine does.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
