package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// lookedUp is the number of the target that is looked up. In the order of the file it stands at seven tenths: a scan
// has its way to go.
const lookedUp = 7

// targetPath names the i-th of n targets.
func targetPath(i int) string { return fmt.Sprintf("board-%02d/stable/app-%06d.img", i%10, i) }

// makeRepositories writes every repository that the scenarios need below dir, each in a directory of its name.
func makeRepositories(dir string, rows []scenario) error {
	made := map[string]bool{}
	for _, row := range rows {
		if made[row.repository] {
			continue
		}
		made[row.repository] = true
		if err := makeRepository(filepath.Join(dir, row.repository), row.repository); err != nil {
			return fmt.Errorf("make repository %s: %w", row.repository, err)
		}
	}
	return nil
}

func makeRepository(dir, name string) error {
	r := tuftest.New()
	r.MetaHashes = true
	var n int
	switch name {
	case rootsName:
		for range 49 {
			r.PublishRoot()
		}
		n = 10
	case signaturesName:
		r.Targets().Tamper = manySignatures
		n = 10
	default:
		if _, err := fmt.Sscanf(strings.ReplaceAll(name, ",", ""), "%d", &n); err != nil {
			return err
		}
	}
	for i := range n {
		sum := sha256.Sum256([]byte(targetPath(i)))
		r.Targets().Targets[targetPath(i)] = tuftest.Object{
			"custom": tuftest.Object{"ota": tuftest.Object{"rollback_index": 7, "version": "2026.11.3"}},
			"hashes": tuftest.Object{"sha256": hex.EncodeToString(sum[:])},
			"length": 4_000_000 + i,
		}
	}
	return write(dir, r)
}

// write lays the metadata out as a static server would have it, and the anchor beside it.
func write(dir string, r *tuftest.Repository) error {
	files := r.Files()
	files[anchorName] = r.Anchor()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

const anchorName = "anchor"

// manySignatures puts 100,000 signatures by keys that nobody knows in front of the good one.
func manySignatures(file []byte) []byte {
	const mark = `{"signatures":[`
	var b strings.Builder
	b.WriteString(mark)
	for i := range 100_000 {
		sum := sha256.Sum256(fmt.Append(nil, i))
		fmt.Fprintf(&b, `{"keyid":"%x","sig":"%x%x"},`, sum, sum, sum)
	}
	b.Write(file[len(mark):])
	return []byte(b.String())
}
